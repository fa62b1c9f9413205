/** The pure SMTP client of sendmail: what it says to which reply, and what it leaves with. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { begin, type Job, onReply, onTrouble, type State } from '../../commands/sendmail/conversation.ts'
import { exitCodeOf, replyLine } from '../../commands/sendmail/exit-code.ts'
import type { Verdict } from '../../commands/sendmail/judgement.ts'
import { tlsDemandOf } from '../../commands/sendmail/tls-demand.ts'
import { GARBAGE, ReplyReader } from '../../shared/smtp/reply-reader.ts'

const job: Job = {
  lmtp: false,
  account: null,
  asIs: false,
  hello: 'localhost',
  sender: 'ann@x.org',
  recipients: ['bob@y.org', 'cyd@y.org'],
  header: null,
  why: null,
  size: 100,
  eightBit: true,
  body: null,
  notify: 'NEVER',
  ret: 'FULL',
  envid: 'a+b',
  verify: false,
  wait: null,
  tlsDemand: null,
  authorName: null,
}

test('a demand for TLS is told where it can be, and never forgotten where it cannot', () => {
  const mail = (offer: string, changes: Partial<Job>) => play(['220 x', `250-x|250 ${offer}`], changes)
  assert.match(mail('XTLS', { tlsDemand: 'verified' }).said[1] ?? '', /^MAIL .* XTLS=VERIFIED$/)
  assert.match(mail('XTLS', { tlsDemand: 'none' }).said[1] ?? '', /XTLS=NONE$/)
  assert.doesNotMatch(mail('XTLS', {}).said[1] ?? '', /XTLS/)
  assert.equal(mail('DSN', { tlsDemand: 'encrypted' }).verdict?.exit, 69)
  assert.match(mail('DSN', { tlsDemand: 'none' }).said[1] ?? '', /^MAIL/)
  assert.match(
    play(['220 x', '250-x|250 DSN'], { tlsDemand: 'verified', lmtp: true }).said[1] ?? '',
    /^MAIL/,
    'our own agent',
  )
})

test("GoSendmail's words for it", () => {
  const read = (tls: string, selfSigned = '') =>
    tlsDemandOf({ GOSENDMAIL_TLS: tls, GOSENDMAIL_SELFSIGNED: selfSigned })
  assert.deepEqual(
    [read(''), read('TRUE'), read('1', 'yes'), read('t', '0'), read('no'), read('0', '1'), read('', '1')],
    [null, 'verified', 'encrypted', 'verified', 'none', 'none', null],
  )
  assert.throws(() => read('maybe'))
  assert.throws(() => read('yes', 'maybe'))
})

interface Played {
  said: string[]
  verdict: Verdict | null
  state: State
}

/** Plays the server's lines against the machine; content counts as `<content>`. */
function play(replies: readonly string[], changes: Partial<Job> = {}): Played {
  const played: Played = { said: [], verdict: null, state: begin }
  const reader = new ReplyReader()
  for (const line of replies)
    reader.push(Buffer.from(`${line.replaceAll('|', '\r\n')}\r\n`), (reply) => {
      if (reply === GARBAGE) throw new Error('garbage')
      const { state, effects } = onReply({ ...job, ...changes }, played.state, reply)
      played.state = state
      for (const effect of effects) {
        if (effect.kind === 'write') played.said.push(effect.line)
        if (effect.kind === 'send-content')
          played.said.push(effect.whole ? '<content with Bcc>' : '<content>')
        if (effect.kind === 'tell') played.said.push(`* ${effect.line}`)
        if (effect.kind === 'verdict') played.verdict = effect.verdict
      }
    })
  return played
}

const PIPELINED = ['220 x', '250-x|250-PIPELINING|250-SIZE 1000|250 8BITMIME']
const fine = '250 2.1.0 fine'

test('-G is told where the server knows it', () => {
  const greeted = (keyword: string) => ['220 x', `250-x|250-PIPELINING|250-${keyword}|250 8BITMIME`]
  assert.match(play(greeted('XASIS'), { asIs: true }).said[1] ?? '', /^MAIL FROM:<.*> .*XASIS/)
  assert.doesNotMatch(play(greeted('XASIS')).said[1] ?? '', /XASIS/)
  assert.doesNotMatch(play(greeted('DSN'), { asIs: true }).said[1] ?? '', /XASIS/)
})

test('a good conversation, pipelined', () => {
  const { said, verdict } = play([...PIPELINED, fine, fine, fine, '354 go', '250 2.0.0 T1 queued'])
  assert.deepEqual(said, [
    'EHLO localhost',
    'MAIL FROM:<ann@x.org> SIZE=100 BODY=8BITMIME',
    'RCPT TO:<bob@y.org>',
    'RCPT TO:<cyd@y.org>',
    'DATA',
    '<content>',
    'QUIT',
  ])
  assert.deepEqual(verdict, { exit: 0, lines: [], again: false })
})

test('without PIPELINING one command waits for the other', () => {
  assert.deepEqual(play(['220 x', '250 x']).said, ['EHLO localhost', 'MAIL FROM:<ann@x.org>'])
  assert.equal(play(['220 x', '250 x', fine]).said[2], 'RCPT TO:<bob@y.org>')
  const all = play(['220 x', '250 x', fine, fine, fine, '354 go', fine])
  assert.equal(all.verdict?.exit, 0)
})

test('DSN parameters only where they are offered', () => {
  const { said } = play(['220 x', '250-x|250-PIPELINING|250 DSN'])
  assert.deepEqual(said.slice(1), [
    'MAIL FROM:<ann@x.org> RET=FULL ENVID=a+2Bb',
    'RCPT TO:<bob@y.org> NOTIFY=NEVER',
    'RCPT TO:<cyd@y.org> NOTIFY=NEVER',
  ])
})

test('one good, one bad: the good one gets it, the bad one is named', () => {
  const { said, verdict } = play([...PIPELINED, fine, '550 5.1.1 no such user', fine, '354 go', fine])
  assert.ok(said.includes('<content>'))
  assert.deepEqual(verdict, { exit: 67, lines: ['<bob@y.org>: 550 5.1.1 no such user'], again: false })
})

test('all bad: no content', () => {
  const { said, verdict } = play([...PIPELINED, fine, '550 5.7.1 no relaying', '550 5.1.1 none'])
  assert.ok(!said.includes('DATA'))
  assert.equal(verdict?.exit, 77)
  assert.equal(verdict?.lines.length, 2)
})

test('one put off: nobody gets it, 75, so trying again doubles nothing', () => {
  const { said, verdict } = play([...PIPELINED, fine, fine, '451 4.4.3 later'])
  assert.ok(!said.includes('DATA'))
  assert.equal(verdict?.exit, 75)
})

test('-bv asks, tells, and sends nothing', () => {
  const { said, verdict } = play([...PIPELINED, fine, '550 5.1.1 none', '250 2.1.5 yes'], { verify: true })
  assert.deepEqual(said.slice(4), ['* <cyd@y.org>: 250 2.1.5 yes', 'QUIT'])
  assert.deepEqual(verdict, { exit: 67, lines: ['<bob@y.org>: 550 5.1.1 none'], again: false })
  assert.equal(play([...PIPELINED, fine, fine, fine], { verify: true }).verdict?.exit, 0)
})

test('-odi asks for a verdict where there is one to be had', () => {
  const mail = (offer: string, patience: number | null) =>
    play(['220 x', `250-x|250 ${offer}`], { wait: { patience }, ret: null, envid: null }).said[1]
  assert.equal(mail('VERDICT 240', null), 'MAIL FROM:<ann@x.org> VERDICT=120')
  assert.equal(mail('VERDICT 60', null), 'MAIL FROM:<ann@x.org> VERDICT=60')
  assert.equal(mail('VERDICT 240', 10), 'MAIL FROM:<ann@x.org> VERDICT=5')
  for (const [offer, patience] of [
    ['VERDICT 240', 1],
    ['VERDICT', null],
    ['VERDICT x', null],
    ['HELP', null],
  ] as const)
    assert.equal(mail(offer, patience), 'MAIL FROM:<ann@x.org>', offer)
})

test('the verdict names who was refused; who waits is in good hands', () => {
  const asked = { wait: { patience: null } }
  const envelope = [...PIPELINED, fine, fine, fine, '354 go']
  const good =
    '250-2.0.0 T1 queued|250-2.0.0 <bob@y.org> sent: 250 ok|250 2.0.0 <cyd@y.org> later: 451 4.2.1 no'
  assert.deepEqual(play([...envelope, good], asked).verdict, { exit: 0, lines: [], again: false })
  const half =
    '250-2.0.0 T1 queued|250-2.0.0 <bob@y.org> waiting|250 2.0.0 <cyd@y.org> never: 550 5.1.1 no such'
  assert.deepEqual(play([...envelope, half], asked).verdict, {
    exit: 67,
    lines: ['<cyd@y.org>: 550 5.1.1 no such'],
    again: false,
  })
  const none =
    '554-5.7.1 no|554-5.7.1 <bob@y.org> never: 554 5.7.1 no|554 5.7.1 <cyd@y.org> never: 550 go away'
  const refused = play([...envelope, none], asked).verdict
  assert.deepEqual([refused?.exit, refused?.lines[1]], [77, '<cyd@y.org>: 550 go away'])
  const disk = '451-4.3.0 disk|451 4.3.0 <bob@y.org> never: 550 5.1.1 no'
  assert.equal(play([...envelope, disk], asked).verdict?.exit, 75)
})

const HEADED = ['220 x', '250-x|250-PIPELINING|250-SIZE 1000|250-VERDICT 240|250 RCPTHDR']
const header = { given: ['bob@y.org'], named: ['cyd@y.org'], size: 120 }

test('-t where the server reads the header: it has all of it, and RCPT names the command line', () => {
  const { said, verdict } = play(
    [...HEADED, fine, fine, '354 go', '250-2.0.0 T1|250 2.0.0 <cyd@y.org> taken: 250 ok'],
    { header },
  )
  assert.deepEqual(said.slice(1), [
    'MAIL FROM:<ann@x.org> SIZE=120 RCPTHDR',
    'RCPT TO:<bob@y.org>',
    'DATA',
    '<content with Bcc>',
    'QUIT',
  ])
  assert.deepEqual(verdict, { exit: 0, lines: [], again: false })
})

test('-t: fates of the header in the reply are those of RCPT', () => {
  const end = (reply: string, changes: Partial<Job> = {}) => {
    const { exit, lines } =
      play([...HEADED, fine, fine, '354 go', reply], { header, ...changes }).verdict ?? {}
    return [exit, lines]
  }
  assert.deepEqual(end('250-2.0.0 T1|250 2.0.0 <cyd@y.org> refused: 550 5.1.1 none'), [
    67,
    ['<cyd@y.org>: 550 5.1.1 none'],
  ])
  assert.deepEqual(
    end(
      '451-4.4.3 to nobody|451-4.4.3 <cyd@y.org> refused: 550 5.1.1 none|451 4.4.3 <e@y.org> later: 451 4.4.3 DNS',
    ),
    [75, ['<cyd@y.org>: 550 5.1.1 none', '<e@y.org>: 451 4.4.3 DNS']],
  )
  const verdict =
    '250-2.0.0 T1|250-2.0.0 <bob@y.org> never: 550 5.7.1 no|250-2.0.0 <e@y.org> later: 451 4.2.1 wait|' +
    '250 2.0.0 <cyd@y.org> refused: 550 5.1.1 none'
  assert.deepEqual(end(verdict, { wait: { patience: null } }), [
    67,
    ['<cyd@y.org>: 550 5.1.1 none', '<bob@y.org>: 550 5.7.1 no'],
  ])
  assert.deepEqual(end('554 5.5.1 The header names no recipients'), [
    64,
    ['message: 554 5.5.1 The header names no recipients'],
  ])
  assert.deepEqual(end('554 5.5.3 too many'), [65, ['message: 554 5.5.3 too many']])
})

test('-t: those of the command line may all be refused, and the header goes on', () => {
  assert.ok(play([...HEADED, fine, '550 5.1.1 none'], { header }).said.includes('DATA'))
  assert.ok(!play([...HEADED, fine, '451 4.4.3 later'], { header }).said.includes('DATA'))
  const alone = play([...HEADED, fine, '550 5.1.1 none'], { header: { ...header, named: [] } })
  assert.deepEqual([alone.verdict?.exit, alone.said.includes('DATA')], [67, false])
  const removed = ['220 x', '250-x|250 RCPTHDR REMOVE']
  const nobody = play(removed, { sender: '', header: { ...header, named: ['bob@y.org'] } })
  assert.deepEqual([nobody.verdict?.exit, nobody.said.length], [64, 2])
})

test('--why asks, tells, and leaves with what sending would have left with', () => {
  const why = { why: { authors: ['ann@x.org'] } }
  const greeted = ['220 x', '250-x|250-PIPELINING|250 XWHY']
  const answers = [
    '250 2.0.0 listener',
    '250 2.0.0 <ann@x.org> taken: 250 ok',
    '250 2.0.0 <ann@x.org> taken: 250 ok',
  ]
  const { said, verdict } = play(
    [
      ...greeted,
      ...answers,
      '250-2.0.0 <bob@y.org> refused: 550 5.1.1 none|250 2.0.0 zone',
      '553 5.1.3 what',
    ],
    why,
  )
  assert.deepEqual(said.slice(1, 6), [
    'XWHY',
    'XWHY FROM:<ann@x.org>',
    'XWHY AUTHOR:<ann@x.org>',
    'XWHY TO:<bob@y.org> FROM:<ann@x.org>',
    'XWHY TO:<cyd@y.org> FROM:<ann@x.org>',
  ])
  assert.ok(said.includes('*   <bob@y.org> refused: 550 5.1.1 none'))
  assert.deepEqual([said.at(-1), verdict], ['QUIT', { exit: 67, lines: [], again: false }])
  const later = play(
    [...greeted, ...answers, '250 2.0.0 <bob@y.org> later: 451 4.4.3 DNS', '550 5.1.1 no'],
    why,
  )
  assert.equal(later.verdict?.exit, 75)
  assert.equal(play(['220 x', '250 x'], why).verdict?.exit, 69)
})

test('refusals at each stage', () => {
  const exits = (replies: string[], changes: Partial<Job> = {}) => {
    const { verdict } = play(replies, changes)
    return [verdict?.exit, verdict?.again]
  }
  assert.deepEqual(exits(['421 4.3.2 going down']), [75, true])
  assert.deepEqual(exits(['554 5.7.1 go away']), [77, false])
  assert.deepEqual(exits(['220 x', '502 5.5.1 what']), [65, false])
  assert.deepEqual(exits([...PIPELINED, '452 4.3.1 full']), [75, true])
  assert.deepEqual(exits([...PIPELINED, '553 5.1.7 sender']), [65, false])
  assert.deepEqual(exits([...PIPELINED, fine, '421 4.3.2 bye']), [75, false])
  assert.deepEqual(exits([...PIPELINED, fine, fine, fine, '451 4.3.0 no']), [75, false])
  assert.deepEqual(exits([...PIPELINED, fine, fine, fine, '354 x', '552 5.3.4 big']), [65, false])
  assert.deepEqual(exits([...PIPELINED, fine, fine, fine, '250 what']), [76, false])
  assert.deepEqual(exits(['354 what']), [76, false])
  assert.deepEqual(exits([...PIPELINED], { size: 2000 }), [65, false])
  assert.deepEqual(exits([...PIPELINED], { sender: 'jürgen@x.org' }), [65, false])
  assert.match(play(['220 x', '250-x|250 SMTPUTF8'], { sender: 'jürgen@x.org' }).said[1] ?? '', / SMTPUTF8$/)
})

test('trouble: lost before MAIL may be tried again, after the dot it is in doubt', () => {
  assert.deepEqual(onTrouble(begin, 'lost', false).again, true)
  assert.deepEqual(onTrouble(begin, 'timeout', false).again, false)
  assert.equal(onTrouble(begin, 'garbage', false).exit, 76)
  const { state } = play([...PIPELINED, fine, fine, fine, '354 go'])
  const verdict = onTrouble(state, 'lost', false)
  assert.deepEqual([verdict.exit, verdict.again], [75, false])
  assert.match(verdict.lines[0] ?? '', /may have been accepted/)
})

test('LMTP: each recipient has a fate of its own, and 75 is left for what nobody has', () => {
  const lmtp = { lmtp: true, recipients: ['bob@y.org', 'cyd@y.org', 'dan@y.org'] }
  const taken = [...PIPELINED, fine, fine, fine, fine, '354 go']
  const end = (...replies: string[]) => {
    const { verdict } = play([...taken, ...replies], lmtp)
    return [verdict?.exit, verdict?.lines]
  }
  assert.deepEqual(end(fine, fine, fine), [0, []])
  const others = 'the others have the message: send it again to those named here only'
  assert.deepEqual(end(fine, '451 4.2.1 wait', fine), [69, ['<cyd@y.org>: 451 4.2.1 wait', others]])
  assert.deepEqual(end('451 4.2.1 wait', fine, '550 5.1.1 none'), [
    67,
    ['<bob@y.org>: 451 4.2.1 wait', '<dan@y.org>: 550 5.1.1 none', others],
  ])
  assert.deepEqual(end('550 5.1.1 none', fine, fine), [67, ['<bob@y.org>: 550 5.1.1 none']])
  assert.equal(end('451 4.2.1 wait', '550 5.1.1 none', '550 5.1.1 none')[0], 75, 'nobody has it')
  const broken = (...replies: string[]) => onTrouble(play([...taken, ...replies], lmtp).state, 'lost', true)
  const doubt = 'the connection was lost; it may have been accepted all the same'
  assert.deepEqual(broken(fine, '451 4.2.1 wait'), {
    exit: 69,
    lines: ['<cyd@y.org>: 451 4.2.1 wait', `<dan@y.org>: ${doubt}`, others],
    again: false,
  })
  const nobody = broken('550 5.1.1 none')
  assert.deepEqual([nobody.exit, nobody.lines.length], [75, 3])
  assert.deepEqual(broken(fine).exit, 69)
})

test('exit codes by enhanced code, then by code', () => {
  const exit = (code: number, enhanced = '') => exitCodeOf({ code, enhanced, text: '' })
  assert.deepEqual(
    [exit(250), exit(450), exit(550, '5.1.1'), exit(550, '5.1.2'), exit(556, '5.1.10'), exit(550, '5.7.26')],
    [0, 75, 67, 68, 68, 77],
  )
  assert.deepEqual([exit(554, '5.6.11'), exit(552), exit(550), exit(554, '5.3.0')], [65, 65, 69, 69])
  assert.deepEqual([exit(552, '5.2.2'), exit(554, '5.3.5'), exit(554, '5.4.6')], [73, 78, 78])
  assert.equal(replyLine({ code: 550, enhanced: '5.1.1', text: 'no\nsuch  user' }), '550 5.1.1 no such user')
})

test('replies at any split are the same replies', () => {
  const text = '220 hi\r\n250-a\r\n250-b c\r\n250 2.0.0 d\r\n550 4.1.1 odd\n'
  const whole: unknown[] = []
  new ReplyReader().push(Buffer.from(text), (reply) => whole.push(reply))
  assert.equal(whole.length, 3)
  for (let cut = 0; cut <= text.length; cut++) {
    const got: unknown[] = []
    const reader = new ReplyReader()
    reader.push(Buffer.from(text.slice(0, cut)), (reply) => got.push(reply))
    reader.push(Buffer.from(text.slice(cut)), (reply) => got.push(reply))
    assert.deepEqual(got, whole)
  }
})
