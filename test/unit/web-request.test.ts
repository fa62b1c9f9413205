/** What web answers to whom: a table of requests, strange ones among them, and any at all. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Page, type Request, Site } from '../../services/web/request.ts'

const site = new Site({
  domains: ['example.org', 'other.example'],
  policy: { mode: 'testing', mx: ['mx1.example.org', '*.mx.example.net'], maxAge: 86_400 },
  programs: {
    imap: { host: 'imap.example.org', port: 993, mode: 'implicit' },
    pop3: null,
    submission: { host: 'smtp.example.org', port: 587, mode: 'starttls' },
    login: 'local-part',
  },
})

function ask(host: string, target: string, method = 'GET', body = '', of = site): Page {
  const plan = of.plan({ method, target, host })
  return plan.kind === 'page' ? plan.page : plan.answer(body)
}

test('the policy, under its own name only (RFC 8461 section 3.2)', () => {
  const page = ask('mta-sts.example.org', '/.well-known/mta-sts.txt')
  assert.deepEqual(page.text.split('\r\n'), [
    'version: STSv1',
    'mode: testing',
    'mx: mx1.example.org',
    'mx: *.mx.example.net',
    'max_age: 86400',
    '',
  ])
  assert.match(page.type, /^text\/plain/)
  assert.equal(ask('MTA-STS.Other.Example.:8443', '/.well-known/mta-sts.txt').status, 200)
  for (const host of ['example.org', 'mta-sts.example.com', 'mta-sts.', 'mta-sts.mta-sts.example.org', ''])
    assert.equal(ask(host, '/.well-known/mta-sts.txt').status, 404, host)
})

test('what is not written exactly so is not there', () => {
  for (const target of [
    '/',
    '',
    '*',
    '/.well-known/mta-sts.txt/',
    '/.well-known//mta-sts.txt',
    '/.well-known/MTA-STS.txt',
    '/.well-known/%6dta-sts.txt',
    '/x/../.well-known/mta-sts.txt',
    '/.well-known/../../../etc/passwd',
    'http://mta-sts.example.org/.well-known/mta-sts.txt',
    '/__proto__',
  ])
    assert.equal(ask('mta-sts.example.org', target).status, 404, target)
})

test('methods', () => {
  const page = ask('mta-sts.example.org', '/.well-known/mta-sts.txt', 'POST')
  assert.deepEqual([page.status, page.allow], [405, 'GET, HEAD'])
  assert.equal(ask('example.org', '/autodiscover/autodiscover.xml').allow, 'POST')
  assert.equal(ask('mta-sts.example.org', '/.well-known/mta-sts.txt', 'HEAD').status, 200)
})

test('mail programs: three languages for the same facts', () => {
  for (const [host, path] of [
    ['autoconfig.example.org', '/mail/config-v1.1.xml?emailaddress=ann%40example.org'],
    ['example.org', '/.well-known/autoconfig/mail/config-v1.1.xml'],
  ] as const) {
    const { text } = ask(host, path)
    assert.match(text, /<hostname>imap\.example\.org<\/hostname>\s*<port>993<\/port>\s*<socketType>SSL</)
    assert.match(text, /<outgoingServer type="smtp">\s*<hostname>smtp\.example\.org<\/hostname>\s*<port>587</)
    assert.match(text, /<username>%EMAILLOCALPART%</)
    assert.doesNotMatch(text, /pop3/)
  }
  const body = '<Autodiscover><Request><EMailAddress>ann@Example.ORG</EMailAddress></Request></Autodiscover>'
  const found = ask('autodiscover.example.org', '/Autodiscover/Autodiscover.xml', 'POST', body).text
  assert.match(
    found,
    /<Type>SMTP<\/Type>\s*<Server>smtp\.example\.org<.*\s*<Port>587<\/Port>\s*<LoginName>ann</,
  )
  assert.match(
    ask('autoconfig.example.org', '/email.mobileconfig?email=ann@example.org').text,
    /EmailTypeIMAP/,
  )
})

test('other people’s addresses, and none', () => {
  const path = '/autodiscover/autodiscover.xml'
  for (const body of ['', '<EMailAddress>ann@else.example</EMailAddress>', '<EMailAddress>&x;@example.org<'])
    assert.match(ask('example.org', path, 'POST', body).text, /<ErrorCode>600</)
  for (const query of [
    '',
    '?email=',
    '?email=a%3Cb@example.org',
    '?email=a@else.example',
    '?email=a%00@example.org',
  ])
    assert.equal(ask('example.org', `/email.mobileconfig${query}`).status, 400, query)
})

test('what comes back is escaped', () => {
  const { text } = ask('example.org', '/email.mobileconfig?email=a%26b@example.org')
  assert.match(text, /<string>a&amp;b@example\.org</)
})

test('nothing to say to mail programs, or to other servers', () => {
  const mute = new Site({ domains: ['example.org'], policy: null, programs: null })
  assert.equal(ask('mta-sts.example.org', '/.well-known/mta-sts.txt', 'GET', '', mute).status, 404)
  assert.equal(ask('autoconfig.example.org', '/mail/config-v1.1.xml', 'GET', '', mute).status, 404)
})

test('anything at all gets a page', () => {
  const word = fc.oneof(
    fc.string(),
    fc.constantFrom('GET', 'example.org', '/autodiscover/autodiscover.xml?', '?'),
  )
  fc.assert(
    fc.property(fc.record({ method: word, target: word, host: word }), word, (request: Request, body) => {
      const plan = site.plan(request)
      const page = plan.kind === 'page' ? plan.page : plan.answer(body)
      assert.ok([200, 400, 404, 405].includes(page.status))
    }),
  )
})
