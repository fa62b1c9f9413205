/** SRS: there and back, through several forwarders, forged, old, in another case, too long; and as Mail::SRS has it. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import fc from 'fast-check'
import { backward, forward, isRewritten } from '../../services/resolver/srs/scheme.ts'
import { formatAddress } from '../../shared/smtp/address.ts'
import { debianPrograms } from '../support/debian.ts'

const timeout = 400_000
const DAY = 86_400_000
const NOW = Date.parse('2026-11-21T12:00:00Z')
const SECRET = 'correct horse battery'

const sent = (local: string, domain: string, ours = 'a.example', secret = SECRET) =>
  forward({ local, domain }, ours, secret, NOW) ?? assert.fail('too long')
const back = (local: string, now = NOW, secrets = [SECRET]) => backward(local, secrets, now)

test('there and back', () => {
  const one = sent('ann', 'example.org')
  assert.match(formatAddress(one), /^SRS0=[A-Za-z0-9+/]{4}=[A-Z2-7]{2}=example\.org=ann@a\.example$/)
  assert.equal(back(one.local), 'ann@example.org')
  assert.equal(back(one.local.toLowerCase()), 'ann@example.org')
  assert.equal(back(one.local, NOW + 21 * DAY), 'ann@example.org')
  assert.equal(back(one.local, NOW + 22 * DAY), null, 'too old')
  assert.equal(back(one.local, NOW - 2 * DAY), null, 'of the future')
  assert.equal(back(one.local, NOW, ['another secret', SECRET]), 'ann@example.org', 'an older secret')
  assert.equal(back(one.local, NOW, ['another secret']), null)
  for (const [from, to] of [
    ['ann', 'eve'],
    ['example.org', 'example.net'],
  ] as const)
    assert.equal(back(one.local.replace(from, to)), null, to)
})

test('a second forwarder, and a third, lead back to the first', () => {
  const first = sent('ann', 'example.org')
  const second = sent(first.local, first.domain, 'b.example', 'secret of b')
  assert.match(second.local, /^SRS1=.{4}=a\.example==.{4}=..=example\.org=ann$/)
  assert.equal(back(second.local, NOW, ['secret of b']), formatAddress(first))
  const third = sent(second.local, second.domain, 'c.example', 'secret of c')
  assert.match(third.local, /^SRS1=.{4}=a\.example==/)
  assert.equal(back(third.local, NOW, ['secret of c']), formatAddress(first))
  assert.equal(back(third.local, NOW, ['secret of b']), null)
})

test('what would be too long stays as it is', () => {
  assert.equal(forward({ local: 'x'.repeat(50), domain: 'example.org' }, 'a.example', SECRET, NOW), null)
})

test('whatever comes: an end, and never an address that we have not made', { timeout }, () => {
  fc.assert(
    fc.property(
      fc.string({ maxLength: 80 }),
      fc.constantFrom('SRS0=', 'srs1+', 'SRS0-a=b=c=', ''),
      (text, front) => {
        assert.equal(back(front + text), null)
      },
    ),
  )
  fc.assert(
    fc.property(fc.stringMatching(/^[a-z0-9.+=-]{1,20}$/), (local) => {
      if (isRewritten(local)) return
      assert.equal(back(sent(local, 'example.org').local), `${local}@example.org`)
    }),
  )
})

const PERL = `
use Mail::SRS;
my ($secret, @lines) = @ARGV;
my $srs = Mail::SRS->new(Secret => $secret, Separator => '=', HashLength => 4, HashMin => 4);
for (@lines) {
  my ($how, $address, $ours) = split / /;
  my $made = eval { $how eq 'forward' ? $srs->forward($address, $ours) : $srs->reverse($address) };
  print defined $made ? "$made\\n" : "none\\n";
}`

test('Mail::SRS makes the same, and leads back what we made', { timeout }, (t) => {
  const found = debianPrograms('libmail-srs-perl')
  const lib = found ? `${found.folder}/usr/share/perl5` : ''
  const run = (...lines: string[]) =>
    spawnSync('perl', ['-I', lib, '-e', PERL, SECRET, ...lines], { encoding: 'utf8', timeout: 30_000 })
  if (!found || run().status !== 0) return t.skip(`no Mail::SRS here: ${found && run().stderr}`)
  const now = Date.now()
  const own = forward({ local: 'ann', domain: 'example.org' }, 'a.example', SECRET, now) ?? assert.fail()
  const twice = forward({ local: own.local, domain: 'z.example' }, 'a.example', SECRET, now) ?? assert.fail()
  const said = run(
    'forward ann@example.org a.example',
    `reverse ${formatAddress(own)}`,
    `forward ${own.local}@z.example a.example`,
    `reverse ${formatAddress(twice)}`,
  ).stdout.split('\n')
  assert.deepEqual(said.slice(0, 4), [
    formatAddress(own),
    'ann@example.org',
    formatAddress(twice),
    `${own.local}@z.example`,
  ])
})
