/** The options of the `posthorn` command, for `words.ts`: each with its value's name and a line for help. */
export interface Option {
  short?: string
  /** Its value's name in help; absent: a flag. */
  value?: string
  doc: string
}

export const optionTable = {
  config: { short: 'c', value: 'FILE', doc: 'the configuration; /etc/posthorn/posthorn.conf' },
  directory: { value: 'DIR', doc: 'keep the queue here instead, with the sockets in DIR/run' },
  'control-socket': {
    value: 'PATH',
    doc: 'where the server is asked, instead of what the configuration says',
  },
  'queue-socket': { value: 'PATH', doc: 'where the queue is asked, instead of what the configuration says' },
  'on-demand': { doc: 'leave again when there has been nothing to do for a while' },
  'as-caller': { doc: 'all processes stay who calls, even root: for development' },
  background: { doc: 'leave the terminal when everything is up' },
  json: { doc: 'for programs' },
  'exit-code': { doc: 'leave with 3 when nothing is listed' },
  quiet: { doc: 'say nothing when all is well' },
  all: { doc: 'everything in the queue' },
  sender: { value: 'ADDRESS', doc: 'only from this sender; * stands for any text' },
  recipient: { value: 'ADDRESS', doc: 'only to this recipient; * stands for any text' },
  domain: { value: 'NAME', doc: 'only to recipients of this domain; * stands for any text' },
  destination: { value: 'NAME', doc: 'only to this next hop; * stands for any text' },
  state: { value: 'STATE', doc: 'only active, deferred, held or removed; else all but removed' },
  older: { value: 'TIME', doc: 'only received longer ago than this: 30m, 4h, 2d' },
  younger: { value: 'TIME', doc: 'only received less long ago than this' },
  larger: { value: 'SIZE', doc: 'only larger than this: 100K, 10M' },
  smaller: { value: 'SIZE', doc: 'only smaller than this' },
  code: { value: 'CODE', doc: 'only with this last reply: 451, 4*, 4.7.1, 4.7.*' },
  reply: { value: 'TEXT', doc: 'only with this in the last reply, in upper or lower case' },
  'in-doubt': { doc: 'only what may have been delivered: the final dot got no answer' },
  'dry-run': { doc: 'count and show what would be done, and do nothing' },
  'for-good': { doc: 'keep nothing that could be restored' },
  timeout: { value: 'SECONDS', doc: 'wait no longer than this' },
  as: { value: 'USE', doc: 'what the key is: address, name, rest, host, client or exact; exact' },
  print: { doc: 'show the lines instead of running them' },
  scram: { doc: 'store keys for SCRAM-SHA-256 instead of a scrypt hash' },
  'name-server': { value: 'ADDRESS', doc: "ask this one, ADDRESS:PORT, not the machine's own" },
  now: { doc: 'do not wait for the time that is usual' },
  remove: { doc: 'take the account out' },
  verify: { doc: 'only say whether the password fits' },
  today: { doc: 'what this day has brought so far, too' },
  help: { short: 'h', doc: 'this text' },
} as const satisfies Record<string, Option>
export type OptionName = keyof typeof optionTable
