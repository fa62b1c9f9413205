/** Load control as a config without a word on it has it, for tests that make qmgr's slice by hand. */
import { loadConfigText, printProblems } from '../../shared/config/check.ts'
import type { LoadSlice } from '../../shared/config/slices.ts'

const TEXT = 'listener "mx" { port 25; }; zone "x.example" { type local; };'

/** A machine with no address but loopback. */
const machine = { asCaller: true, hostname: 'mx.test.example', interfaces: ['127.0.0.1/8', '::1/128'] }

export const usualLoad: LoadSlice = readUsual()

function readUsual(): LoadSlice {
  const checked = loadConfigText(TEXT, '/posthorn.conf', machine)
  if (checked.kind === 'bad') throw new Error(printProblems(checked.problems))
  return checked.slices.qmgr.load
}
