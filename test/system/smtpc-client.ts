/** What tests of smtpc ask of it, as qmgr would, and its answers in short. */
import type { Answer, Payload } from '../../shared/bus/messages.ts'
import type { SmtpcSlice } from '../../shared/config/slices.ts'

export const SLICE: SmtpcSlice = {
  hostname: 'client.example',
  eightBit: 'downgrade',
  tlsReports: null,
  logins: {},
  ways: {
    usual: { tls: null, tlsNames: null, caFile: null, identity: null, proxy: null, source: null, helo: null },
    zones: {},
    servers: {},
  },
  connectionIdle: 60_000,
  transactionsPerConnection: 1000,
  timeouts: {
    connect: 20_000,
    greeting: 20_000,
    helo: 20_000,
    mail: 20_000,
    rcpt: 20_000,
    dataInitiation: 20_000,
    dataBlock: 20_000,
    dataTermination: 20_000,
    quit: 5_000,
  },
}
export type Delivery = Payload<'deliver'>
let counter = 0

/** To `to`, by the hosts on these ports, tried in order. */
export function deliveryBy(ports: number[], to: string[], more: Partial<Delivery> = {}): Delivery {
  const content = more.content === undefined ? Buffer.from('Subject: x\r\n\r\nbody\r\n') : more.content
  const hosts = ports.map((port, preference) => ({
    name: '127.0.0.1',
    addresses: ['127.0.0.1'],
    port,
    preference,
  }))
  const id = ++counter
  return {
    attempt: id,
    message: 1000 + id,
    sender: 'from@example.org',
    recipients: to.map((address, n) => ({ n, address })),
    size: content?.length ?? 0,
    body: '7bit',
    smtputf8: false,
    route: { kind: 'smtp', zone: '.', destination: `d${ports.join()}`, protocol: 'smtp', hosts },
    ...more,
    content,
  }
}

export function print({ outcomes }: Answer<'deliver'>): string[] {
  return outcomes.map(({ outcome }) => {
    if (outcome.kind !== 'later') return `${outcome.kind} ${outcome.reply.code}`
    return `later ${outcome.reply.code} ${outcome.blame}${outcome.inDoubt ? ' in doubt' : ''}`
  })
}
