/**
 * A whole Posthorn that other servers send to: STARTTLS is demanded, mail is for Maildirs here. What a server of
 * another project hands on through its own queue is asked for here: what it was asked for itself, and nothing else.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { makeAuthority, type Pair } from '../support/certificates.ts'
import { dotted, openSession } from '../support/client.ts'
import { mailsIn } from '../support/maildir.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { makeSpecimen, readSpecimen } from '../support/specimen.ts'
import { testConfig } from '../support/test-config.ts'

/** How a peer reaches us, and whom it is to believe. */
export interface Way {
  nextHop: number
  /** The certificate of who signed ours: a file. */
  authority: string
}

interface Peer {
  port: number
  log: () => string
  stop: () => void | Promise<void>
}

export interface PeerStage {
  posthorn: Posthorn
  peer: Peer
}

export interface Mail {
  to: string
  /** Behind MAIL and behind RCPT. */
  mail?: string
  rcpt?: string
  octets?: number
}

export const SENDER = 'ben@local.example'

/** Null, and the test skipped, where that peer cannot run. */
export async function openPeerStage(
  t: TestContext,
  name: string,
  start: (way: Way) => Promise<Peer | null>,
): Promise<PeerStage | null> {
  const directory = mkdtempSync(join(tmpdir(), 'posthorn-peer-'))
  const authority = makeAuthority(directory)
  const posthorn = await startReceiving(authority.sign('localhost', 'DNS:localhost'))
  let peer: Peer | null = null
  // the peer first: it may keep a connection open, which we would let it finish
  t.after(async () => {
    await peer?.stop()
    await posthorn.stop()
    rmSync(directory, { recursive: true, force: true })
  })
  peer = await start({ nextHop: posthorn.ports['mx'] ?? 0, authority: authority.certificate })
  if (peer) return { posthorn, peer }
  t.skip(`no ${name} can run here`)
  return null
}

function startReceiving({ certificate, key }: Pair): Promise<Posthorn> {
  return startPosthorn({
    config: (paths) =>
      testConfig(paths, {
        mx: 'tls "public" required;',
        more: `tls "public" { certificate "${certificate}"; key "${key}"; };`,
      }),
    users: ['anna', 'ben', 'jürgen'],
  })
}

/** Gives one mail to a peer. @returns its mark */
export async function give(
  { peer }: PeerStage,
  { to, mail = '', rcpt = '', octets = 3000 }: Mail,
): Promise<string> {
  const { mark, content } = makeSpecimen(octets)
  const client = await openSession(peer.port)
  for (const command of [`MAIL FROM:<${SENDER}> ${mail}`, `RCPT TO:<${to}> ${rcpt}`]) {
    const reply = await client.say(command.trimEnd())
    assert.equal(reply.code, 250, reply.text)
  }
  assert.equal((await client.say('DATA')).code, 354)
  client.write(dotted(content))
  const reply = await client.reply()
  assert.equal(reply.code, 250, reply.text)
  await client.quit()
  return mark
}

/** The message with that mark in a Maildir, which came whole. */
export async function found({ posthorn, peer }: PeerStage, user: string, mark: string, count: number) {
  const mails = await mailsIn(posthorn.maildir(user), count).catch((error) =>
    assert.fail(`${error}\n${posthorn.log()}\n${peer.log()}`),
  )
  await posthorn.queueEmpty()
  const whole = mails.filter(({ content }) => readSpecimen(content) === mark)
  assert.equal(whole.length, 1, `${mark} among ${mails.length}`)
  return String(whole[0]?.content)
}

/** The one report that Posthorn itself has made for the sender, because a peer passed the request on. */
export async function deliveryReport({ posthorn }: PeerStage): Promise<string> {
  const mails = await mailsIn(posthorn.maildir('ben'), 1)
  await posthorn.queueEmpty()
  assert.equal(mails.length, 1, 'one report, of one server')
  const report = String(mails[0]?.content)
  assert.match(report, /^Reporting-MTA: dns; ?mx\.posthorn\.example$/m)
  assert.match(report, /^Original-Envelope-Id: QQ314$/m)
  assert.match(report, /^Original-Recipient: rfc822; ?Anna@elsewhere\.example$/im)
  assert.match(report, /^Action: delivered$/m)
  return report
}

export const ASKED = {
  mail: 'RET=HDRS ENVID=QQ314',
  rcpt: 'NOTIFY=SUCCESS ORCPT=rfc822;Anna@elsewhere.example',
}
