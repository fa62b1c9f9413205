/**
 * ARC by dkimpy, Debian's python3-dkim: seals messages, and says of sealed ones what it thinks.
 * Fails: null where the package cannot be had.
 */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { debianPrograms } from './debian.ts'

const SEAL = `
import sys, json, base64, dkim
job = json.load(sys.stdin)
message, made = base64.b64decode(job['message']), []
for n, domain in enumerate(job['sealers']):
    arc = 'none' if n == 0 else 'pass'
    results = 'Authentication-Results: %s; arc=%s; dmarc=%s header.from=example.org\\r\\n' % (domain, arc, 'pass' if n == 0 else 'fail')
    lines = dkim.arc_sign(results.encode() + message, b's', domain.encode(), job['key'].encode(), domain.encode())
    message = b''.join(lines) + message
    made.append(base64.b64encode(message).decode())
json.dump(made, sys.stdout)`

const VERIFY = `
import sys, json, base64, dkim
def verify(one):
    record = one['record'].encode()
    cv = dkim.arc_verify(base64.b64decode(one['message']), dnsfunc=lambda name, timeout=5: record)[0]
    return (cv or b'fail').decode() # of a chain that has no shape it says nothing
json.dump([verify(one) for one in json.load(sys.stdin)], sys.stdout)`

const SIGNATURES = `
import sys, json, base64, dkim
job = json.load(sys.stdin)
records = {name.encode(): text.encode() for name, text in job['records'].items()}
def look(name, timeout=5):
    return records.get(name.rstrip(b'.'), b'')
def each(message):
    signer = dkim.DKIM(base64.b64decode(message))
    count = len([1 for name, value in signer.headers if name.lower() == b'dkim-signature'])
    return ' '.join('good' if signer.verify(idx=n, dnsfunc=look) else 'bad' for n in range(count))
json.dump([each(message) for message in job['messages']], sys.stdout)`

export interface Dkimpy {
  /** What it thinks of each signature of each message, from the top: `good good`. Records by name. */
  signatures: (messages: readonly Buffer[], records: Readonly<Record<string, string>>) => string[]
  /**
   * The message (latin1) as each of these domains passes it on, selector `s`; the first says that DMARC had passed for
   * example.org.
   */
  seal: (message: string, sealers: readonly string[], pem: string) => string[]
  /** `pass` or `fail`, of each. */
  verify: (messages: readonly string[], record: string) => string[]
}

export function dkimpy(): Dkimpy | null {
  const found = debianPrograms('python3-dkim', 'python3-authres', 'python3-nacl')
  if (!found) return null
  const path = join(found.folder, 'usr/lib/python3/dist-packages')
  return {
    seal: (message, sealers, key) =>
      run(path, SEAL, { message: octets(message), sealers, key }).map((one) =>
        Buffer.from(one, 'base64').toString('latin1'),
      ),
    signatures: (messages, records) =>
      run(path, SIGNATURES, { messages: messages.map((one) => one.toString('base64')), records }),
    verify: (messages, record) =>
      run(
        path,
        VERIFY,
        messages.map((message) => ({ message: octets(message), record })),
      ),
  }
}

const octets = (text: string) => Buffer.from(text, 'latin1').toString('base64')

function run(path: string, script: string, job: unknown): string[] {
  const env = { ...process.env, PYTHONPATH: path }
  const made = spawnSync('python3', ['-c', script], {
    input: JSON.stringify(job),
    env,
    timeout: 120_000,
    encoding: 'utf8',
  })
  if (made.status !== 0) throw new Error(made.stderr)
  return JSON.parse(made.stdout)
}
