/**
 * The shell around `request.ts`: sockets, TLS, and the bounds that strangers meet.
 *
 * One request, one answer, then the connection is closed: nobody who asks here has a second question. A request must
 * be whole after REQUEST_MS, header and body, and a header fit into HEADER_OCTETS; there are at most MOST_CONNECTIONS,
 * and MOST_FROM_ONE of them from one address (a web server in front, on loopback or the unix socket, is everybody).
 * Who is beyond that is closed without a word; the rest is Node's 400, 408 and 431.
 *
 * TLS: a client must name its host; it gets the first certificate that is for that name, and no handshake otherwise.
 * Files that change are read again (`shared/runtime/tls.ts`).
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { Socket } from 'node:net'
import type { SecureContext } from 'node:tls'
import type { Log } from '../../shared/base/log.ts'
import type { WebSlice } from '../../shared/config/slices.ts'
import { type Certified, type TlsSource, watchTls } from '../../shared/runtime/tls.ts'
import { LONGEST_BODY, type Page, plain, Site } from './request.ts'

const REQUEST_MS = 10_000
const CHECK_MS = 1000
const HEADER_OCTETS = 8192
const MOST_HEADERS = 64
const MOST_CONNECTIONS = 200
const MOST_FROM_ONE = 20
const DRAIN_MS = 3000

const BOUNDS = {
  maxHeaderSize: HEADER_OCTETS,
  headersTimeout: REQUEST_MS,
  requestTimeout: REQUEST_MS,
  connectionsCheckingInterval: CHECK_MS,
  keepAlive: false,
}

export class WebServer {
  readonly #log: Log
  readonly #server: Server
  readonly #certificates = new Map<string, Certified>()
  readonly #byAddress = new Map<string, number>()
  #sources: TlsSource[] = []
  #site: Site
  answers = 0

  constructor(slice: WebSlice, log: Log, secure: boolean) {
    this.#log = log
    this.#site = new Site(slice)
    const answer = (request: IncomingMessage, response: ServerResponse) => this.#answer(request, response)
    this.#server = secure
      ? createTlsServer(
          {
            ...BOUNDS,
            handshakeTimeout: REQUEST_MS,
            SNICallback: (name, told) => told(null, this.#contextFor(name)),
          },
          answer,
        )
      : createServer(BOUNDS, answer)
    this.#server.maxConnections = MOST_CONNECTIONS
    this.#server.maxHeadersCount = MOST_HEADERS
    this.#server.timeout = REQUEST_MS
    this.#server.on('connection', (socket: Socket) => this.#admit(socket))
    this.#server.on('tlsClientError', (error: Error, socket: Socket) => {
      log.debug({ why: error.message }, 'no TLS')
      socket.destroy()
    })
    if (secure) this.#watch(slice)
  }

  /** Resolves when clients can connect. */
  accept(fd: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen({ fd }, () => {
        this.#server.off('error', reject)
        this.#server.on('error', (error) => this.#log.error({ err: error }, 'cannot accept'))
        resolve()
      })
    })
  }

  reconfigure(slice: WebSlice, secure: boolean): void {
    this.#site = new Site(slice)
    if (secure) this.#watch(slice)
  }

  drain(): Promise<void> {
    for (const source of this.#sources) source.close()
    const patience = setTimeout(() => this.#server.closeAllConnections(), DRAIN_MS)
    return new Promise((resolve) => {
      this.#server.close(() => {
        clearTimeout(patience)
        resolve()
      })
      this.#server.closeIdleConnections()
    })
  }

  #watch({ tls }: WebSlice): void {
    for (const source of this.#sources) source.close()
    this.#certificates.clear()
    this.#sources = tls.map((one) =>
      watchTls(one, this.#log, (made) => void this.#certificates.set(one.name, made)),
    )
  }

  /** RFC 8461 section 3.3: the certificate must be for `mta-sts.DOMAIN`. */
  #contextFor(name: string): SecureContext | undefined {
    const fits = [...this.#certificates.values()].find(
      ({ certificate }) => certificate.checkHost(name) !== undefined,
    )
    return fits?.context
  }

  #admit(socket: Socket): void {
    const address = socket.remoteAddress ?? ''
    if (isNear(address)) return
    const open = (this.#byAddress.get(address) ?? 0) + 1
    if (open > MOST_FROM_ONE) return void socket.destroy()
    this.#byAddress.set(address, open)
    socket.once('close', () => {
      const left = (this.#byAddress.get(address) ?? 1) - 1
      if (left > 0) this.#byAddress.set(address, left)
      else this.#byAddress.delete(address)
    })
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const { method = '', url: target = '', headers } = request
    const done = (page: Page) => this.#send(request, response, page)
    const plan = this.#site.plan({ method, target, host: headers.host ?? '' })
    if (plan.kind === 'page') return done(plan.page)
    readBody(request, (body) => done(body === null ? plain(413, 'Too long') : plan.answer(body)))
  }

  #send(request: IncomingMessage, response: ServerResponse, { status, type, text, allow }: Page): void {
    this.answers++
    const { method, url, headers, socket } = request
    this.#log.debug(
      { client: socket.remoteAddress ?? '', host: headers.host, method, url, status },
      'answered',
    )
    response.writeHead(status, {
      'Content-Type': type,
      'Content-Length': Buffer.byteLength(text),
      'X-Content-Type-Options': 'nosniff',
      Connection: 'close',
      ...(allow !== undefined && { Allow: allow }),
    })
    response.end(method === 'HEAD' ? undefined : text)
  }
}

/** Null: it is longer than anybody needs. Who goes away in the middle gets no answer. */
function readBody(request: IncomingMessage, told: (body: string | null) => void): void {
  const parts: Buffer[] = []
  let octets = 0
  request.on('data', (part: Buffer) => {
    octets += part.length
    if (octets > LONGEST_BODY) {
      request.removeAllListeners('data').removeAllListeners('end')
      return told(null)
    }
    parts.push(part)
  })
  request.on('end', () => told(Buffer.concat(parts).toString('utf8')))
  request.on('error', () => undefined)
}

function isNear(address: string): boolean {
  return address === '' || address === '::1' || /^(?:::ffff:)?127\./.test(address)
}
