/** What an lda says to the agent of its user, over real sockets; the agent is a script of replies. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { agentSockets, dialAgent } from '../../services/lda/agent-dial.ts'
import { Handover } from '../../services/lda/handover.ts'
import { Pieces } from '../../services/lda/pieces.ts'
import { silentLog } from '../../shared/base/log.ts'
import type { Payload } from '../../shared/bus/messages.ts'
import { noAccountReply } from '../../shared/smtp-client/agent.ts'

const uid = process.geteuid?.() ?? 0
const directory = mkdtempSync(join(tmpdir(), 'posthorn-handover-'))
const servers: Server[] = []
after(() => {
  for (const server of servers) server.close()
  rmSync(directory, { recursive: true, force: true })
})

const OFFERS = '250-agent\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-DSN\r\n250 SIZE 1000\r\n'
type Script = (said: string, socket: Socket) => string | null

/** Answers what comes until DATA at once, and the dot by the script. */
async function playAgent(script: Script): Promise<{ path: string; said: () => string }> {
  const path = join(directory, `${servers.length}.sock`)
  let said = ''
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.write('220 agent LMTP\r\n')
    socket.on('data', (chunk) => {
      said += chunk.toString('latin1')
      if (said.endsWith('LHLO localhost\r\n')) socket.write(OFFERS)
      else if (said.endsWith('DATA\r\n')) socket.write(`${'250 ok\r\n'.repeat(3)}354 go\r\n`)
      else if (said.endsWith('\r\n.\r\n')) socket.write(script(said, socket) ?? '')
    })
  })
  servers.push(server)
  server.listen(path)
  await once(server, 'listening')
  return { path, said: () => said }
}

function handoverTo(path: string, progress: string[] = []): Handover {
  return new Handover({
    uid,
    login: 'ann',
    qualifyDomain: 'Here.example',
    log: silentLog,
    now: Date.now,
    dial: () => dialAgent([path], uid),
    progress: (attempt, begun) => void progress.push(`${attempt} ${begun ? 'begun' : 'dialling'}`),
    credit: () => undefined,
  })
}

function deliver(changes: Partial<Payload<'deliver'>> = {}): Payload<'deliver'> {
  return {
    attempt: 5,
    message: 7,
    sender: 'ann@here.example',
    recipients: [
      { n: 3, address: 'bob@far.example', notify: 'NEVER' },
      { n: 4, address: 'cyd@far.example' },
    ],
    size: 20,
    body: '7bit',
    smtputf8: false,
    route: { kind: 'agent', zone: '.', destination: `agent:${uid}`, uid },
    content: Buffer.from('Subject: x\r\n\r\n.body\r\n'),
    ...changes,
  }
}

const codes = (answer: Awaited<ReturnType<Handover['deliver']>>) =>
  answer.outcomes.map(({ n, outcome }) => [n, outcome.kind, outcome.reply.code])

describe('handing mail to an agent', () => {
  it('gives each recipient the word of the agent, and says how far it is', async () => {
    const agent = await playAgent(() => '250 ok\r\n550 5.7.1 you said no\r\n')
    const progress: string[] = []
    const answer = await handoverTo(agent.path, progress).deliver(deliver())
    assert.deepEqual(codes(answer), [
      [3, 'sent', 250],
      [4, 'never', 550],
    ])
    assert.equal(answer.declined, undefined)
    assert.deepEqual(progress, ['5 dialling', '5 begun'])
    assert.match(agent.said(), /^MAIL FROM:<ann> SIZE=20\r\nRCPT TO:<bob@far\.example> NOTIFY=NEVER\r$/m)
    assert.match(agent.said(), /\r\n\.\.body\r\n\.\r\n/)
  })

  it('leaves every other sender as it is', async () => {
    const agent = await playAgent(() => '250 ok\r\n250 ok\r\n')
    for (const sender of ['ann@far.example', 'bert@here.example', 'ann+x@here.example'])
      await handoverTo(agent.path).deliver(deliver({ sender }))
    assert.deepEqual(
      [...agent.said().matchAll(/FROM:<(.*)>/g)].map((found) => found[1]),
      ['ann@far.example', 'bert@here.example', 'ann+x@here.example'],
    )
  })

  it('declines what no account is for, and only when that is so for all of it', async () => {
    const { code, enhanced, text } = noAccountReply('ann@here.example')
    const no = `${code} ${enhanced} ${text}\r\n`
    const none = await playAgent(() => no + no)
    assert.equal((await handoverTo(none.path).deliver(deliver())).declined, 'not-mine')
    const some = await playAgent(() => `250 ok\r\n${no}`)
    const answer = await handoverTo(some.path).deliver(deliver())
    assert.deepEqual([answer.declined, answer.outcomes.length], [undefined, 2])
  })

  it('knows a provider’s 551 from the agent’s', async () => {
    const agent = await playAgent(() => '551 5.1.6 moved\r\n551 5.1.6 moved\r\n')
    assert.deepEqual(codes(await handoverTo(agent.path).deliver(deliver())), [
      [3, 'never', 551],
      [4, 'never', 551],
    ])
  })

  it('tells an agent that is not there from one that does not answer', async () => {
    assert.equal((await handoverTo(join(directory, 'none.sock')).deliver(deliver())).declined, 'absent')
    assert.equal((await handoverTo(join(directory, 'no', 'way')).deliver(deliver())).declined, 'absent')
    const stale = join(directory, 'stale')
    writeFileSync(stale, '')
    const answer = await handoverTo(stale).deliver(deliver())
    assert.deepEqual([answer.declined, codes(answer)[0]], [undefined, [3, 'later', 451]])
  })

  it('is in doubt when the agent dies behind the dot', async () => {
    const agent = await playAgent((_said, socket) => {
      socket.destroy()
      return null
    })
    const { outcomes } = await handoverTo(agent.path).deliver(deliver())
    const [first] = outcomes
    assert.equal(first?.outcome.kind === 'later' && first.outcome.inDoubt, true)
  })

  it('is for its own user alone', async () => {
    const agent = await playAgent(() => '250 ok\r\n250 ok\r\n')
    const route = { kind: 'agent', zone: '.', destination: 'agent:1', uid: uid + 1 } as const
    const answer = await handoverTo(agent.path).deliver(deliver({ route }))
    assert.deepEqual(codes(answer)[0], [3, 'later', 451])
    assert.equal(agent.said(), '')
  })

  it('writes to no socket of another user', async () => {
    const agent = await playAgent(() => '250 ok\r\n')
    await assert.rejects(dialAgent([agent.path], uid + 1), /belongs to uid/)
    assert.equal(agent.said(), '')
  })

  it('looks where agents listen', () => {
    assert.deepEqual(agentSockets(1000, '/home/ann'), [
      '/run/user/1000/posthorn/agent.sock',
      '/home/ann/.local/state/posthorn/agent.sock',
    ])
  })
})

describe('content in pieces', () => {
  it('is read as it comes, and credit is given for what was taken', async () => {
    const credit: number[] = []
    const pieces = new Pieces((octets) => void credit.push(octets))
    const read: string[] = []
    const done = (async () => {
      for await (const piece of pieces.read()) read.push(Buffer.from(piece).toString())
    })()
    pieces.push(Buffer.from('ab'), false)
    await new Promise((resolve) => setImmediate(resolve))
    pieces.push(Buffer.from('c'), true)
    await done
    assert.deepEqual([read, credit], [['ab', 'c'], [2]])
  })

  it('fails its reader when it is called off', async () => {
    const pieces = new Pieces(() => undefined)
    const iterator = pieces.read()[Symbol.asyncIterator]()
    const next = iterator.next()
    pieces.off()
    await assert.rejects(next, /called off/)
  })
})
