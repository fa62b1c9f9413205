/**
 * signmail's pure parts: what leaves of a header, what the options mean, who fares how.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { begin, type Envelope, fatesAfter, onReply, type State } from '../../commands/sign/conversation.ts'
import { convert, serverPart } from '../../commands/sign/gosendmail-config.ts'
import { parseOptions } from '../../commands/sign/options.ts'
import { type Rules, sanitise } from '../../commands/sign/sanitise.ts'
import { readSignText, senderFor } from '../../commands/sign/sign-config.ts'
import { loadConfigText } from '../../shared/config/check.ts'
import { readFields } from '../../shared/dkim/fields.ts'
import { readPrivateKey } from '../../shared/dkim/private-key.ts'
import type { SmtpReply } from '../../shared/smtp/reply.ts'
import { signingKey } from '../support/signing-key.ts'

const NOW = Date.UTC(2026, 10, 21, 12, 34, 56, 789)
const keep: Rules = { date: { kind: 'keep' }, 'message-id': 'fresh', remove: [] }

function clean(header: string, change: Partial<Rules> = {}): string {
  const fields = sanitise(readFields(header), { ...keep, ...change }, { now: NOW, messageId: '<new@x>' })
  return fields.map(({ raw }) => raw).join('')
}

test('what tells of the user goes, the rest stays as it is, in order', () => {
  const header =
    'Received: from laptop\r\n\tby localhost\r\nFrom: a@x\r\nBCC: c@x,\r\n d@x\r\nX-Mailer: m\r\nUser-Agent: u\r\n' +
    'X-Originating-IP: 192.0.2.1\r\nReturn-Path: <a@x>\r\nMessage-ID: <old@laptop>\r\nDate: Sat, 21 Nov 2026 14:00:00 +0200\r\nX-Own: 1\r\n'
  const rest = 'From: a@x\r\nMessage-ID: <new@x>\r\nDate: Sat, 21 Nov 2026 14:00:00 +0200\r\n'
  assert.equal(clean(header), `${rest}X-Own: 1\r\n`)
  assert.equal(clean(header, { remove: ['x-own'] }), rest)
  assert.match(clean(header, { 'message-id': 'keep' }), /^Message-ID: <old@laptop>\r$/m)
})

test('Date: in UTC, in steps, made where it is missing or none', () => {
  const utc = (step: number) => ({ date: { kind: 'utc', step } as const })
  const date = (header: string, rules: Partial<Rules>) => /^Date: (.*)\r$/m.exec(clean(header, rules))?.[1]
  const given = 'From: a@x\r\nDate: Sat, 21 Nov 2026 14:07:31 +0200 (EET)\r\n'
  assert.equal(date(given, utc(1000)), 'Sat, 21 Nov 2026 12:07:31 +0000')
  assert.equal(date(given, utc(900_000)), 'Sat, 21 Nov 2026 12:00:00 +0000')
  assert.equal(date('From: a@x\r\n', {}), 'Sat, 21 Nov 2026 12:34:56 +0000')
  assert.equal(date('From: a@x\r\nDate: soon\r\n', utc(60_000)), 'Sat, 21 Nov 2026 12:34:00 +0000')
  assert.equal(clean('Date: x\r\nDate: y\r\n').match(/^Date:/gm)?.length, 1)
})

test('a message sent on keeps its history', () => {
  const history =
    'Received: from other\r\nDate: Fri, 20 Nov 2026 00:00:00 +0000\r\nMessage-ID: <theirs@y>\r\n'
  const text = clean(`Received: from laptop\r\nResent-From: a@x\r\nResent-Bcc: b@x\r\n${history}`)
  assert.ok(text.endsWith(history))
  assert.match(text, /^Resent-Message-ID: <new@x>\r$/m)
  assert.match(text, /^Resent-Date: Sat, 21 Nov/m)
  assert.doesNotMatch(text, /laptop|Bcc/)
})

test("options in sendmail's shapes", () => {
  const read = (...argv: string[]) => {
    const parsed = parseOptions(argv)
    return parsed.kind === 'send' ? parsed.options : parsed
  }
  const usual = {
    recipients: [],
    fromHeader: false,
    ignoreDots: false,
    sender: null,
    config: null,
    print: false,
    again: false,
  }
  assert.deepEqual(read('-ti', '-fa@x', 'b@x'), {
    ...usual,
    fromHeader: true,
    ignoreDots: true,
    sender: 'a@x',
    recipients: ['b@x'],
  })
  assert.deepEqual(read('-oi', '-oem', '-f', '<>', '-C', '/c', '--', '-b@x'), {
    ...usual,
    ignoreDots: true,
    sender: '',
    config: '/c',
    recipients: ['-b@x'],
  })
  assert.deepEqual(read('-N', 'never', '-bm', '--print', '--again', 'b@x'), {
    ...usual,
    print: true,
    again: true,
    recipients: ['b@x'],
  })
  assert.deepEqual(read('import', 'f'), { kind: 'import', file: 'f', part: 'user' })
  for (const bad of [['-f'], ['-Z'], ['--x'], ['import'], ['-bd']])
    assert.equal(parseOptions(bad).kind, 'usage', String(bad))
})

const envelope: Envelope = {
  sender: 'a@x',
  recipients: ['b@x', 'c@x', 'd@x'],
  size: 10,
  eightBit: true,
  tlsDemand: null,
}

function reply(code: number, text = 'x'): SmtpReply {
  return { code, enhanced: '', text }
}

/** The fates after these replies, and all that was written. */
function play(
  replies: readonly (number | SmtpReply)[],
  broken = false,
): { fates: string; written: string[] } {
  let state: State = begin
  const written: string[] = []
  for (const one of replies) {
    const step = onReply(envelope, state, typeof one === 'number' ? reply(one) : one)
    state = step.state
    written.push(...step.write)
  }
  const fates = broken
    ? fatesAfter(envelope, state, 'gone')
    : state.phase === 'done'
      ? state.fates
      : new Map()
  return { fates: [...fates.values()].map(({ kind }) => kind).join(' '), written }
}

const EHLO = reply(250, 'mx\nPIPELINING\nSIZE 100\n8BITMIME')

test('who is taken gets it, whatever becomes of the others', () => {
  assert.equal(play([220, EHLO, 250, 250, 550, 451, 354, 250]).fates, 'sent refused later')
  assert.equal(play([220, EHLO, 250, 250, 550, 250, 354, 452]).fates, 'later refused later')
  assert.equal(play([220, EHLO, 250, 250, 550, 250, 554]).fates, 'refused refused refused')
})

test('a demand for TLS is told to the server, or nobody gets it', () => {
  const hello = (offers: string) =>
    onReply({ ...envelope, tlsDemand: 'verified' }, { phase: 'ehlo' }, reply(250, `mx\n${offers}`))
  assert.match(hello('XTLS').write[0] ?? '', /^MAIL FROM:<a@x> XTLS=VERIFIED$/)
  const { state } = hello('DSN')
  assert.ok(state.phase === 'done')
  assert.deepEqual(
    [...state.fates.values()].map(({ kind }) => kind),
    ['refused', 'refused', 'refused'],
  )
})

test('nobody taken: no DATA', () => {
  const { fates, written } = play([220, EHLO, 250, 550, 550, 451])
  assert.equal(fates, 'refused refused later')
  assert.deepEqual(written.slice(-1), ['QUIT'])
  assert.ok(!written.includes('DATA'))
})

test('refused as a whole', () => {
  assert.equal(play([554]).fates, 'refused refused refused')
  assert.equal(play([220, 421]).fates, 'later later later')
  assert.equal(play([220, EHLO, 550]).fates, 'refused refused refused')
  assert.equal(play([220, EHLO, 250, 250, 421]).fates, 'later later later')
})

test('a connection that breaks leaves doubt only behind DATA', () => {
  assert.equal(play([220, EHLO, 250, 250], true).fates, 'later later later')
  assert.equal(play([220, EHLO, 250, 250, 550, 250, 354], true).fates, 'doubt refused doubt')
})

test('without PIPELINING one after the other', () => {
  const { written } = play([220, reply(250, 'mx'), 250, 250, 250, 250, 354, 250])
  assert.deepEqual(written, [
    'EHLO localhost',
    'MAIL FROM:<a@x>',
    'RCPT TO:<b@x>',
    'RCPT TO:<c@x>',
    'RCPT TO:<d@x>',
    'DATA',
    'QUIT',
  ])
  assert.equal(play([220, EHLO]).written[1], 'MAIL FROM:<a@x> SIZE=10 BODY=8BITMIME')
})

const GOOD = `
sender "example.org" {
    key "s1" command "pass" "show" "dkim"; key "s2" file "/k.pem";
    send smtp-command "ssh" "mx" "sendmail" "-bs"; date utc 15m; message-id keep;
    remove { "X-Own"; }; signature-lifetime never; timeout 30s;
};
sender "bücher.example" { key "s" file "k"; send socket "/run/s"; };
sender "plain.example" { key "s" file "k"; send command "sendmail" "-i"; };`

test('the configuration, whole', () => {
  const read = readSignText(GOOD)
  assert.equal(read.kind, 'good', JSON.stringify(read))
  if (read.kind !== 'good') return
  const [one] = read.senders
  assert.deepEqual(one, {
    domain: 'example.org',
    key: [
      { selector: 's1', from: { kind: 'command', words: ['pass', 'show', 'dkim'] } },
      { selector: 's2', from: { kind: 'file', path: '/k.pem' } },
    ],
    send: { kind: 'smtp-command', words: ['ssh', 'mx', 'sendmail', '-bs'] },
    date: { kind: 'utc', step: 900_000 },
    'message-id': 'keep',
    remove: ['x-own'],
    'signature-lifetime': 0,
    timeout: 30_000,
  })
  assert.equal(senderFor(read.senders, 'mail.example.org')?.domain, 'example.org')
  assert.equal(senderFor(read.senders, 'xn--bcher-kva.example')?.send.kind, 'socket')
  assert.equal(senderFor(read.senders, 'example.com'), null)
})

test('the example is good', () => {
  const read = readSignText(readFileSync('config/examples/user/sign.conf', 'utf8'))
  assert.equal(read.kind, 'good', JSON.stringify(read))
})

test('mistakes, all at once, each with its place', () => {
  const read = readSignText(`sender "a.example" {
    kye "s" file "k";
    date utc 3d;
    signature-lifetime 1m;
};
sender "b.example" { key "-" file "k"; send socket "/s"; };`)
  assert.equal(read.kind === 'bad' && read.problems, MISTAKES)
})

const MISTAKES = `sign.conf:1:8: sender \`a.example\` has no \`send\`
    sender "a.example" {
           ^^^^^^^^^^^
hint: add \`send smtp-command "WORD" … | command "WORD" … | socket "PATH";\`
sign.conf:2:5: unknown option \`kye\` in \`sender\`
        kye "s" file "k";
        ^^^
hint: did you mean \`key\`?
sign.conf:3:14: \`3d\` is out of range
        date utc 3d;
                 ^^
hint: 1s to 1d
sign.conf:4:24: \`1m\` is too short
        signature-lifetime 1m;
                           ^^
hint: mail may be hours on its way
sign.conf:6:26: \`-\` is no selector
    sender "b.example" { key "-" file "k"; send socket "/s"; };
                             ^^^
hint: a name in DNS
`

test("GoSendmail's config.json", () => {
  const text = convert({
    'Example.org': {
      DkimKeyCmd: 'cat example.pem',
      SendCommand: 'ssh mx sendmail -i',
      TLSCert: 'c.pem',
      DialerProxy: 'socks5://h',
    },
    'example.net': { alias: 'Example.org' },
    'example.com': { SendCommand: 'deliver' },
    ReadFromDisk: 'gpg -d',
  })
  assert.equal(
    text,
    `// TLSCert, TLSKey and DialerProxy are for the server: signmail import --server CONFIG.JSON

sender "Example.org" {
    key "default" command "cat" "example.pem";
    send smtp-command "ssh" "mx" "sendmail" "-bs";
    // where that sendmail knows no -bs: send command "ssh" "mx" "sendmail" "-i";
    date utc 15m;
};

sender "example.net" {
    key "default" command "cat" "example.pem";
    send smtp-command "ssh" "mx" "sendmail" "-bs";
    // where that sendmail knows no -bs: send command "ssh" "mx" "sendmail" "-i";
    date utc 15m;
};

sender "example.com" {
    send command "deliver";
    date utc 15m;
};
`,
  )
  assert.equal(readSignText(text).kind, 'good')
  assert.throws(() => convert([]), /not an object/)
})

test("what of GoSendmail's config.json is for the server is good there", () => {
  const way = { TLSCert: '/c.pem', tlskey: '/k.pem', DialerProxy: 'socks5://127.0.0.1:9050' }
  const text = serverPart({
    'a.example': way,
    'b.example': { ...way },
    'c.example': { TLSCert: '/other\n.pem' },
  })
  assert.equal(
    text,
    `smtpc {
    tls-certificate "/c.pem";
    tls-key "/k.pem";
    proxy "socks5://127.0.0.1:9050";
};
// c.example had another way; a zone or server section may say it:
//   tls-certificate "/other .pem";
`,
  )
  const machine = {
    asCaller: true,
    uid: 1000,
    gid: 1000,
    hostname: 'mx.example.org',
    readable: () => 'yes' as const,
  }
  const whole = `${text} listener "mx" { port 25; }; zone "." { type remote; };`
  const loaded = loadConfigText(whole, 'posthorn.conf', machine)
  assert.ok(loaded.kind === 'ok')
  const { identity, proxy } = loaded.slices.smtpc.ways.usual
  assert.deepEqual(identity, { certificate: '/c.pem', key: '/k.pem' })
  assert.deepEqual(proxy, { kind: 'socks5', host: '127.0.0.1', port: 9050, login: null })
  assert.match(serverPart({ 'a.example': {} }), /nothing/)
})

test('keys: RSA, Ed25519, a bare Ed25519 key, and what is none', () => {
  assert.equal(readPrivateKey(signingKey('rsa').pem, 1024)?.asymmetricKeyType, 'rsa')
  const { key, pem } = signingKey('ed25519')
  assert.equal(readPrivateKey(pem, 1024)?.asymmetricKeyType, 'ed25519')
  const bare = key.export({ type: 'pkcs8', format: 'der' }).subarray(-32)
  assert.ok(readPrivateKey(`${bare.toString('base64')}\n`, 1024)?.equals(key))
  for (const none of ['', 'x', '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n'])
    assert.equal(readPrivateKey(none, 1024), null)
})
