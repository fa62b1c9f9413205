/**
 * The users of Dovecot, by its protocol for lookups of users (auth-userdb, version 1): `USER 1 ann@a.example service=lmtp`
 * with tabs between, and as the answer a line `USER` with the fields of that user, `NOTFOUND`, or `FAIL`. The value is
 * the user's home, or nothing where Dovecot names none.
 *
 * It is asked for whole addresses only, so that a system user of that name is nobody in other domains. What Dovecot
 * cannot tell is trouble: FAIL is a broken database, or a socket that we may not use. Its connections:
 * `kept-connections.ts`.
 */
import type { MapServer } from '../../../shared/config/map-slices.ts'
import { found, LONGEST_VALUE, type MapAnswer, type MapSource, MISSING, trouble } from './answer.ts'
import type { Gate } from './gate.ts'
import { KeptConnections } from './kept-connections.ts'

/** One question at a time on a connection: the number never changes. */
const ID = '1'
const OPENING = 'VERSION\t1\t0\n'

export function openDovecotMap(server: MapServer, gate: Gate): MapSource {
  const connections = new KeptConnections(server, OPENING)
  const ask = async (key: string, signal: AbortSignal): Promise<MapAnswer> => {
    const question = Buffer.from(`USER\t${ID}\t${key}\tservice=lmtp\n`)
    return readUserAnswer(await connections.ask(question, readUserReply, signal))
  }
  return {
    wholeKeys: false,
    lookUp: (key) => (isAddress(key) ? gate.ask((signal) => ask(key, signal)) : MISSING),
    close: () => connections.close(),
  }
}

/** `@a.example` stands for the rest of a domain: nobody in particular. Dovecot has no names with such characters. */
function isAddress(key: string): boolean {
  return key.lastIndexOf('@') > 0 && !/\p{Cc}/u.test(key)
}

/** The line that answers; null: it is not there yet. Greetings come before it. */
export function readUserReply(read: Buffer): string | null {
  if (read.length > LONGEST_VALUE) throw new Error('the answer is too long')
  const lines = read.toString('utf8').split('\n').slice(0, -1)
  const old = lines.find((line) => line.startsWith('VERSION\t') && !line.startsWith('VERSION\t1\t'))
  if (old !== undefined) throw new Error(`the server speaks another protocol: ${old.slice(0, 100)}`)
  return lines.find((line) => /^(USER|NOTFOUND|FAIL)\t/.test(line)) ?? null
}

export function readUserAnswer(line: string): MapAnswer {
  const [command = '', id = '', ...fields] = line.split('\t')
  if (id !== ID) return trouble(`an answer to question ${id.slice(0, 20)}`)
  if (command === 'NOTFOUND') return MISSING
  if (command !== 'USER') return trouble(`Dovecot cannot tell: ${fields.join(' ').slice(0, 200)}`)
  const home = fields.slice(1).find((field) => field.startsWith('home='))
  return found(unescapeField(home?.slice('home='.length) ?? ''))
}

const ESCAPED: Readonly<Record<string, string>> = { 0: '\0', 1: '\x01', t: '\t', r: '\r', n: '\n' }

/** U+0001 and a sign stand for what would end a field. */
function unescapeField(text: string): string {
  const [plain = '', ...escaped] = text.split('\x01')
  return plain + escaped.map((part) => (ESCAPED[part.charAt(0)] ?? part.charAt(0)) + part.slice(1)).join('')
}
