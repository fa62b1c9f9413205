/** qmgr: owns the queue, says yes, wait or no, and hands out work. See README.md; the parts meet in `qmgr.ts`. */
import { runService } from '../../shared/runtime/service.ts'
import { startQmgr } from './qmgr.ts'

runService('qmgr', startQmgr)
