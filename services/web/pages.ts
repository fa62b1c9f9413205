/**
 * What web says, as text: the MTA-STS policy and the settings that mail programs ask for. Pure.
 *
 * | page | who asks | written in |
 * |---|---|---|
 * | policy | other mail servers | RFC 8461 section 3.2 |
 * | client config | Thunderbird and its kin | Thunderbird's autoconfig, version 1.1 |
 * | autodiscover | Outlook, and phones | Microsoft's POX autodiscover, outlook/responseschema/2006a |
 * | profile | Apple's Mail | a configuration profile with one `com.apple.mail.managed` |
 *
 * All that comes from outside (an address) is escaped here, and was looked at before by `request.ts`.
 */
import { createHash } from 'node:crypto'
import type { MailAccess, WebSlice } from '../../shared/config/slices.ts'

export type Programs = NonNullable<WebSlice['programs']>
export type Policy = NonNullable<WebSlice['policy']>

const XML = '<?xml version="1.0" encoding="UTF-8"?>\n'

export function policyText({ mode, mx, maxAge }: Policy): string {
  const lines = ['version: STSv1', `mode: ${mode}`, ...mx.map((host) => `mx: ${host}`), `max_age: ${maxAge}`]
  return lines.map((line) => `${line}\r\n`).join('')
}

export function clientConfig(domain: string, programs: Programs): string {
  const { imap, pop3, submission } = programs
  const name = programs.login === 'address' ? '%EMAILADDRESS%' : '%EMAILLOCALPART%'
  const server = (element: string, type: string, access: MailAccess | null) =>
    access === null
      ? ''
      : `
    <${element} type="${type}">
      <hostname>${escaped(access.host)}</hostname>
      <port>${access.port}</port>
      <socketType>${access.mode === 'implicit' ? 'SSL' : 'STARTTLS'}</socketType>
      <username>${name}</username>
      <authentication>password-cleartext</authentication>
    </${element}>`
  const servers = [
    server('incomingServer', 'imap', imap),
    server('incomingServer', 'pop3', pop3),
    server('outgoingServer', 'smtp', submission),
  ]
  return `${XML}<clientConfig version="1.1">
  <emailProvider id="${escaped(domain)}">
    <domain>${escaped(domain)}</domain>
    <displayName>${escaped(domain)}</displayName>
    <displayShortName>${escaped(domain)}</displayShortName>${servers.join('')}
  </emailProvider>
</clientConfig>
`
}

const AUTODISCOVER = 'http://schemas.microsoft.com/exchange/autodiscover'

export function autodiscover(address: string, programs: Programs): string {
  const { imap, pop3, submission } = programs
  const login = escaped(loginOf(address, programs))
  const protocol = (type: string, access: MailAccess | null) =>
    access === null
      ? ''
      : `
      <Protocol>
        <Type>${type}</Type>
        <Server>${escaped(access.host)}</Server>
        <Port>${access.port}</Port>
        <LoginName>${login}</LoginName>
        <DomainRequired>off</DomainRequired>
        <SPA>off</SPA>
        <SSL>on</SSL>
        <Encryption>${access.mode === 'implicit' ? 'SSL' : 'TLS'}</Encryption>
        <AuthRequired>on</AuthRequired>
      </Protocol>`
  const protocols = [protocol('IMAP', imap), protocol('POP3', pop3), protocol('SMTP', submission)]
  return `${XML}<Autodiscover xmlns="${AUTODISCOVER}/responseschema/2006">
  <Response xmlns="${AUTODISCOVER}/outlook/responseschema/2006a">
    <Account>
      <AccountType>email</AccountType>
      <Action>settings</Action>${protocols.join('')}
    </Account>
  </Response>
</Autodiscover>
`
}

/** What that protocol has for who is asked about somebody else's address, or about none. */
export function notDiscovered(): string {
  return `${XML}<Autodiscover xmlns="${AUTODISCOVER}/responseschema/2006">
  <Response>
    <Error Time="00:00:00.0000000" Id="0">
      <ErrorCode>600</ErrorCode>
      <Message>Invalid Request</Message>
      <DebugData/>
    </Error>
  </Response>
</Autodiscover>
`
}

type PlistValue = string | number | boolean | Plist[]
interface Plist {
  [key: string]: PlistValue
}

export function profile(address: string, programs: Programs): string {
  const domain = address.slice(address.lastIndexOf('@') + 1)
  const named = `org.posthorn.mail.${domain}`
  const head = (type: string, identifier: string): Plist => ({
    PayloadType: type,
    PayloadVersion: 1,
    PayloadIdentifier: identifier,
    PayloadUUID: uuidOf(`${identifier} ${address}`),
    PayloadDisplayName: `Mail of ${domain}`,
  })
  const account = { ...head('com.apple.mail.managed', `${named}.account`), ...accountOf(address, programs) }
  const whole = { ...head('Configuration', named), PayloadOrganization: domain, PayloadContent: [account] }
  const doctype =
    '<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">'
  return `${XML}${doctype}\n<plist version="1.0">\n${plist(whole)}\n</plist>\n`
}

function accountOf(address: string, programs: Programs): Plist {
  const { imap, pop3, submission } = programs
  const incoming = imap ?? pop3 ?? submission
  const login = loginOf(address, programs)
  return {
    EmailAccountType: imap ? 'EmailTypeIMAP' : 'EmailTypePOP',
    EmailAccountName: address,
    EmailAccountDescription: address,
    EmailAddress: address,
    IncomingMailServerHostName: incoming.host,
    IncomingMailServerPortNumber: incoming.port,
    IncomingMailServerUseSSL: true,
    IncomingMailServerUsername: login,
    IncomingMailServerAuthentication: 'EmailAuthPassword',
    OutgoingMailServerHostName: submission.host,
    OutgoingMailServerPortNumber: submission.port,
    OutgoingMailServerUseSSL: true,
    OutgoingMailServerUsername: login,
    OutgoingMailServerAuthentication: 'EmailAuthPassword',
    OutgoingPasswordSameAsIncomingPassword: true,
  }
}

function plist(value: PlistValue | Plist): string {
  if (typeof value === 'string') return `<string>${escaped(value)}</string>`
  if (typeof value === 'number') return `<integer>${value}</integer>`
  if (typeof value === 'boolean') return `<${value}/>`
  if (Array.isArray(value)) return `<array>\n${value.map(plist).join('\n')}\n</array>`
  const pairs = Object.entries(value).map(([key, one]) => `<key>${key}</key>${plist(one)}`)
  return `<dict>\n${pairs.join('\n')}\n</dict>`
}

/** The same for the same account, so that a second profile takes the place of the first; version 8, of our own making. */
function uuidOf(text: string): string {
  const hex = createHash('sha256').update(text).digest('hex')
  const parts = [hex.slice(0, 8), hex.slice(8, 12), `8${hex.slice(13, 16)}`, `a${hex.slice(17, 20)}`]
  return [...parts, hex.slice(20, 32)].join('-').toUpperCase()
}

function loginOf(address: string, { login }: Programs): string {
  return login === 'address' ? address : address.slice(0, address.lastIndexOf('@'))
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (char) => ENTITIES[char] ?? char)
}
