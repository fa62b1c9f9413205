/**
 * A name server on loopback that says what the test wants, truth or not: UDP and TCP on one port of its own.
 * What no script knows is NXDOMAIN with an SOA.
 */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { Packet } from 'dns2'

type Data = Parameters<typeof Packet.createResourceFromQuestion>[1] & { name: string; type: number }

export interface Script {
  answers?: Data[]
  authorities?: Data[]
  rcode?: number
  /** Over UDP only the head of it fits. */
  truncated?: boolean
  /** Says that DNSSEC proves it. */
  authenticated?: boolean
  /** Gives the question back in lower case, as some forwarders do. */
  lowersCase?: boolean
  /** Hangs up on TCP. */
  noTcp?: boolean
  /** Says nothing at all. */
  silent?: boolean
  /** FORMERR for a query with EDNS, as old servers have it. */
  refusesEdns?: boolean
  /** Sent before the answer, made of the true one. */
  lies?: (answer: Buffer) => Buffer[]
  /** Answers when this is done. */
  after?: Promise<unknown>
}

export interface NameServer {
  /** For the `nameservers` of a slice. */
  address: string
  port: number
  /** `MX example.org`, `tcp MX example.org`, in order. */
  asked: string[]
  /** By `MX example.org`; may be changed at any time. */
  scripts: Map<string, Script>
  close: () => void
}

const TYPE_NAMES = new Map<number, string>([
  [1, 'A'],
  [5, 'CNAME'],
  [6, 'SOA'],
  [12, 'PTR'],
  [15, 'MX'],
  [16, 'TXT'],
  [28, 'AAAA'],
  [33, 'SRV'],
  [52, 'TLSA'],
])

export const record = {
  a: (name: string, address: string, ttl = 300): Data => ({ name, type: 1, class: 1, ttl, address }),
  aaaa: (name: string, address: string, ttl = 300): Data => ({ name, type: 28, class: 1, ttl, address }),
  mx: (name: string, priority: number, exchange: string, ttl = 300): Data => {
    return { name, type: 15, class: 1, ttl, priority, exchange }
  },
  txt: (name: string, text: string, ttl = 300): Data => {
    // a string holds 255 octets at most
    const data = text.match(/.{1,255}/gs) ?? ['']
    return { name, type: 16, class: 1, ttl, data }
  },
  cname: (name: string, domain: string, ttl = 300): Data => ({ name, type: 5, class: 1, ttl, domain }),
  ptr: (name: string, domain: string, ttl = 300): Data => ({ name, type: 12, class: 1, ttl, domain }),
  tlsa: (name: string, [usage, selector, matching]: [number, number, number], of: Buffer): Data => {
    const data = Buffer.concat([Buffer.from([usage, selector, matching]), of])
    // the codec writes octets of types that it does not know as they are, which its types do not say
    return { name, type: 52, class: 1, ttl: 300, data: data as unknown as string }
  },
  srv: (name: string, [priority, weight, port]: [number, number, number], target: string): Data => {
    return { name, type: 33, class: 1, ttl: 300, priority, weight, port, target }
  },
  soa: (name: string, minimum = 60): Data => {
    const numbers = { serial: 1, refresh: 3600, retry: 600, expiration: 86400, minimum }
    return { name, type: 6, class: 1, ttl: 3600, primary: `ns.${name}`, admin: `root.${name}`, ...numbers }
  },
}

/** NOERROR and nothing: the name is there, the type is not. */
export function nodata(zone: string): Script {
  return { authorities: [record.soa(zone)] }
}

/** @param otherwise for what no script knows. */
export async function startNameServer(
  scripts: Record<string, Script> = {},
  otherwise: (key: string) => Script = () => ({ rcode: 3, authorities: [record.soa('test')] }),
): Promise<NameServer> {
  const asked: string[] = []
  const known = new Map(Object.entries(scripts))
  const { udp, tcp, port } = await listen()
  const answer = (message: Buffer, over: 'udp' | 'tcp', send: Send) => {
    const query = Packet.parse(message)
    const [question] = query.questions
    if (!question) return
    const key = `${TYPE_NAMES.get(question.type) ?? question.type} ${question.name.toLowerCase()}`
    asked.push(over === 'tcp' ? `tcp ${key}` : key)
    const script = known.get(key) ?? otherwise(key)
    if (script.noTcp && over === 'tcp') return send(null)
    if (script.silent) return
    const speak = () => reply(query, script, over).forEach(send)
    if (script.after) void script.after.then(speak)
    else speak()
  }
  udp.on('message', (message: Buffer, from: RemoteInfo) => {
    answer(message, 'udp', (reply) => {
      if (reply) udp.send(reply, from.port, from.address)
    })
  })
  serveTcp(tcp, answer)
  const close = () => {
    udp.close()
    tcp.close()
  }
  return { address: `127.0.0.1:${port}`, port, asked, scripts: known, close }
}

/** Null: hang up. */
type Send = (reply: Buffer | null) => void
type Answering = (message: Buffer, over: 'udp' | 'tcp', send: Send) => void

function serveTcp(tcp: Server, answer: Answering): void {
  tcp.on('connection', (socket) => {
    socket.on('error', () => undefined) // the client has hung up, which is its right
    let data: Buffer = Buffer.alloc(0)
    socket.on('data', (chunk: Buffer) => {
      data = Buffer.concat([data, chunk])
      if (data.length < 2 || data.length < 2 + data.readUInt16BE(0)) return
      answer(data.subarray(2), 'tcp', (reply) => {
        if (!reply) return void socket.destroy()
        const length = Buffer.alloc(2)
        length.writeUInt16BE(reply.length)
        // in two pieces, as a network may do it
        socket.write(Buffer.concat([length, reply.subarray(0, 5)]))
        setImmediate(() => socket.end(reply.subarray(5)))
      })
    })
  })
}

function reply(query: Packet, script: Script, over: 'udp' | 'tcp'): Buffer[] {
  const response = Packet.createResponseFromRequest(query)
  Object.assign(response.header, { ra: 1, rcode: script.rcode ?? 0 })
  if (script.refusesEdns && query.additionals.length > 0) {
    Object.assign(response.header, { rcode: 1 })
    return [response.toBuffer()]
  }
  if (script.truncated && over === 'udp') Object.assign(response.header, { tc: 1 })
  else {
    response.answers = (script.answers ?? []).map((data) => new Packet.Resource(data))
    response.authorities = (script.authorities ?? []).map((data) => new Packet.Resource(data))
  }
  if (script.lowersCase) for (const one of response.questions) one.name = one.name.toLowerCase()
  const truth = response.toBuffer()
  // AD, RFC 4035 section 3.2.3: only for those who ask for it in their query
  const flags = truth.readUInt8(3) & ~0x20
  truth.writeUInt8(script.authenticated ? flags | 0x20 : flags, 3)
  return [...(script.lies?.(truth) ?? []), truth]
}

async function listen(): Promise<{ udp: Socket; tcp: Server; port: number }> {
  for (;;) {
    const udp = createSocket('udp4')
    udp.bind(0, '127.0.0.1')
    await once(udp, 'listening')
    const port = (udp.address() as AddressInfo).port
    const tcp = createServer().listen(port, '127.0.0.1')
    const free = await once(tcp, 'listening').then(
      () => true,
      () => false,
    )
    if (free) return { udp, tcp, port }
    udp.close() // somebody has the same port over TCP: another one
  }
}
