/** The command line of sendmail(8), with every letter of history. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Options, parseOptions } from '../../commands/sendmail/options.ts'

function good(...argv: string[]): Options {
  const parsed = parseOptions(argv)
  assert.equal(parsed.kind, 'options', JSON.stringify(parsed))
  if (parsed.kind !== 'options') throw new Error('unreachable')
  return parsed.options
}

function usage(...argv: string[]): string {
  const parsed = parseOptions(argv)
  assert.equal(parsed.kind, 'usage', `${argv.join(' ')} was accepted`)
  return parsed.kind === 'usage' ? parsed.message : ''
}

test('the usual calls of real programs', () => {
  const php = good('-t', '-i')
  assert.deepEqual([php.fromHeader, php.ignoreDots, php.recipients], [true, true, []])
  const cron = good('-FCronDaemon', '-i', '-B8BITMIME', '-oem', 'root')
  assert.deepEqual([cron.fullName, cron.body, cron.ignoreDots], ['CronDaemon', '8BITMIME', true])
  assert.deepEqual(cron.recipients, ['root'])
  const mutt = good('-oem', '-oi', '-f', 'ann@example.org', '--', 'bob@example.net')
  assert.deepEqual(
    [mutt.sender, mutt.ignoreDots, mutt.recipients],
    ['ann@example.org', true, ['bob@example.net']],
  )
  const git = good('-i', '-f', 'ann@example.org', 'bob@example.net', 'cyd@example.net')
  assert.deepEqual(git.recipients, ['bob@example.net', 'cyd@example.net'])
})

test('clusters, glued and separate arguments', () => {
  const clustered = good('-tifann@example.org')
  assert.deepEqual(
    [clustered.fromHeader, clustered.ignoreDots, clustered.sender],
    [true, true, 'ann@example.org'],
  )
  assert.equal(good('-ti').recipients.length, 0)
  assert.equal(good('-f', '').sender, '')
  assert.equal(good('-f<>').sender, '')
  assert.equal(good('-r', 'Ann <ann@example.org>').sender, 'ann@example.org')
  assert.equal(good('-O', 'IgnoreDots=true').ignoreDots, true)
  assert.equal(good('-OIgnoreDots').ignoreDots, true)
  assert.equal(good('-O', 'QueueDirectory=/tmp').ignoreDots, false)
})

test('-q and -d never swallow the next word', () => {
  assert.deepEqual(good('-q', 'root').recipients, ['root'])
  assert.equal(good('-q').mode, 'flush')
  assert.deepEqual(good('-d', 'root').recipients, ['root'])
  for (const daemon of ['-q30m', '-qp5m', '-qf1h']) assert.match(usage(daemon), /posthorn start/)
  assert.equal(good('-qf').mode, 'flush')
})

test('what came to mean nothing is swallowed with its argument', () => {
  const { recipients, mode } = good(
    ...['-Am', '-C', '/x.cf', '-D', '/log', '-G', '-L', 'tag', '-M', 'x', '-U', '-X', '/trace', '-c'],
    ...['-em', '-h', '5', '-m', '-n', '-odb', '-p', 'SMTP', '-s', '-T', '-x', '-E', 'x', '-J', 'x', '-Q'],
    'ann@example.org',
  )
  assert.deepEqual([recipients, mode], [['ann@example.org'], 'deliver'])
})

test('modes', () => {
  assert.equal(good('-bm').mode, 'deliver')
  assert.equal(good('-bp').mode, 'mailq')
  assert.equal(good('-bi').mode, 'newaliases')
  assert.equal(good('-I').mode, 'newaliases')
  assert.equal(good('-b', 's').mode, 'smtp')
  assert.match(usage('-bd'), /posthorn start/)
  assert.equal(good('-bv', 'root').mode, 'verify')
  assert.equal(good('-bt', 'root').mode, 'verify')
  assert.equal(good('-bh').mode, 'hoststat')
  assert.match(usage('-bH'), /queue retry/)
  for (const mode of ['-bz', '-bP', '-b', '-b-']) usage(mode)
})

test('options end at -- and at the first recipient', () => {
  assert.deepEqual(good('--', '-t', '-f').recipients, ['-t', '-f'])
  const late = good('ann@example.org', '-t', '-fevil@example.net')
  assert.deepEqual([late.fromHeader, late.sender], [false, null])
  assert.equal(late.recipients.length, 3)
})

test('delivery status options are checked', () => {
  const { notify, ret, envid } = good('-N', 'success,delay', '-R', 'hdrs', '-V', 'id7')
  assert.deepEqual([notify, ret, envid], ['SUCCESS,DELAY', 'HDRS', 'id7'])
  assert.equal(good('-Nnever').notify, 'NEVER')
  for (const [letter, value] of [
    ['-N', 'sometimes'],
    ['-N', 'never,success'],
    ['-R', 'half'],
    ['-V', 'a b'],
    ['-B', '9BIT'],
  ] as const)
    usage(letter, value)
})

test('unknown letters, missing values and line ends are refused', () => {
  assert.equal(usage('-Z'), 'unknown option -Z')
  assert.equal(usage('-tZ'), 'unknown option -Z')
  assert.match(usage('-f'), /needs a value/)
  assert.match(usage('--nonsense'), /unknown option --nonsense/)
  assert.match(usage('--socket'), /needs a value/)
  assert.match(usage('-F', 'Ann\r\nBcc: x@y'), /line end/)
  assert.match(usage('ann@example.org\nbob@example.org'), /line end/)
  assert.match(usage('-f', 'two@example.org, addresses@example.org'), /not an address/)
  assert.match(usage('--timeout', 'soon'), /seconds/)
})

test('our own options', () => {
  const options = good('--socket=/a', '--wait', '0.5', '--timeout=3', '-t')
  assert.deepEqual([options.socket, options.retryWindow, options.patience], ['/a', 0.5, 3])
})

test('part of the queue', () => {
  assert.deepEqual(good('-qItest').selection, ['test'])
  assert.deepEqual(good('-qRexample.org').selection, ['--recipient', '*example.org*'])
  const listed = good('-bp', '-qSann')
  assert.deepEqual([listed.mode, listed.selection], ['mailq', ['--sender', '*ann*']])
  for (const word of ['-qR', '-qx', '-qGgroup', '-qp']) assert.match(usage(word), /queue/)
})

test('-odi waits, -oeq is silent, -v shows the conversation; each in all its shapes', () => {
  for (const argv of [['-odi'], ['-o', 'di'], ['-O', 'DeliveryMode=interactive'], ['-odq', '-odi']])
    assert.equal(good(...argv).wait, true, argv.join(' '))
  for (const argv of [[], ['-odb'], ['-odi', '-odq'], ['-O', 'DeliveryMode=b']])
    assert.equal(good(...argv).wait, false, argv.join(' '))
  for (const argv of [['-oeq'], ['-eq'], ['-e', 'q'], ['-OErrorMode=quiet']])
    assert.equal(good(...argv).silent, true, argv.join(' '))
  for (const argv of [['-oem'], ['-ep'], ['-oeq', '-oem']])
    assert.equal(good(...argv).silent, false, argv.join(' '))
  assert.equal(good('-tvi').verbose, true)
})

test('octets that are no UTF-8 are refused, since they cannot be told apart', () => {
  assert.match(usage('b\ufffdb@example.org'), /UTF-8/)
})

test('--why is a mode and takes no word', () => {
  const parsed = parseOptions(['--why', '-t', 'ann@x.org'])
  assert.ok(parsed.kind === 'options')
  assert.deepEqual([parsed.options.mode, parsed.options.recipients], ['why', ['ann@x.org']])
  assert.equal(parseOptions(['--why=yes', 'ann@x.org']).kind, 'usage')
})
