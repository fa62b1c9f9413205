/** qmgr: owns the queue, says yes, wait or no, and hands out work. See README.md; the parts meet in `assembly.ts`. */
import { runService } from '../../shared/runtime/service.ts'
import { systemProbe } from '../../shared/system/credentials.ts'
import { startQmgr } from './qmgr.ts'
import { loadStoreThread } from './store-port.ts'

runService('qmgr', startQmgr, () => {
  systemProbe()
  return loadStoreThread()
})
