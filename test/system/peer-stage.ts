/**
 * A whole Posthorn that other servers send to: STARTTLS is demanded, mail is for Maildirs here. What a server of
 * another project hands on through its own queue is asked for here: what it was asked for itself, and nothing else.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeAuthority } from '../support/certificates.ts'
import { dotted, openSession } from '../support/client.ts'
import { mailsIn } from '../support/maildir.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { makeSpecimen, readSpecimen } from '../support/specimen.ts'
import { testConfig } from '../support/test-config.ts'

export interface PeerStage {
  posthorn: Posthorn
  /** How to reach it, and whom to believe. */
  way: { nextHop: number; authority: string }
  close: () => Promise<void>
}

/** A stage, and who sends to it. */
export interface Sent extends PeerStage {
  peer: { log: () => string }
}

export interface Mail {
  /** Of a peer: its port. */
  port: number
  to: string
  /** Behind MAIL and behind RCPT. */
  mail?: string
  rcpt?: string
  octets?: number
}

export const SENDER = 'ben@local.example'

export async function openPeerStage(): Promise<PeerStage> {
  const directory = mkdtempSync(join(tmpdir(), 'posthorn-peer-'))
  const authority = makeAuthority(directory)
  const { certificate, key } = authority.sign('localhost', 'DNS:localhost')
  const posthorn = await startPosthorn({
    config: (paths) =>
      testConfig(paths, {
        mx: 'tls "public" required;',
        more: `tls "public" { certificate "${certificate}"; key "${key}"; };`,
      }),
    users: ['anna', 'ben', 'jürgen'],
  })
  return {
    posthorn,
    way: { nextHop: posthorn.ports['mx'] ?? 0, authority: authority.certificate },
    close: async () => {
      await posthorn.stop()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

/** Gives one mail to a peer. @returns its mark */
export async function give({ port, to, mail = '', rcpt = '', octets = 3000 }: Mail): Promise<string> {
  const { mark, content } = makeSpecimen(octets)
  const client = await openSession(port)
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
export async function found({ posthorn, peer }: Sent, user: string, mark: string, count: number) {
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
