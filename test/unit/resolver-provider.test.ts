/** Who runs the exchangers of a domain. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { providerOf } from '../../services/resolver/provider.ts'

const exchangers = (...hosts: string[]) =>
  hosts.map((text) => {
    const [host = '', preference] = text.split(' ')
    return { host, preference: Number(preference ?? 10) }
  })

const cases: [string, string[], string | null][] = [
  ['customers with exchangers of their own', ['a-com.mail.protection.outlook.com'], 'outlook.com'],
  ['all exchangers of one provider', ['aspmx.l.google.com 1', 'alt1.aspmx.l.google.com 5'], 'google.com'],
  ['a backup elsewhere', ['mx.example.org 10', 'backup.example.net 20'], 'example.org'],
  ['equals of two', ['b.example.org 10', 'a.example.net 10', 'c.example.org'], 'example.net,example.org'],
  ['a suffix of two labels', ['mx.example.co.uk'], 'example.co.uk'],
  ['different owners below a private suffix', ['ec2-192-0-2-1.compute-1.amazonaws.com'], null],
  ['a domain that is its own host', ['example.org'], null],
  ['a name without a suffix', ['localhost'], null],
  ['many names without a suffix', ['b', 'a'], 'a,b'],
]

for (const [what, hosts, provider] of cases) {
  test(what, () => assert.equal(providerOf(exchangers(...hosts)), provider))
}
