/**
 * A map behind HTTP: GET with the key escaped in the URL. 200 with text is found, 204, 404 and 410 are not there,
 * everything else is trouble, redirections too. Limit: LONGEST_VALUE octets of the body, without its last line end.
 *
 * The password is read at each question: it may change.
 */
import { readFileSync } from 'node:fs'
import { request as askHttp, type ClientRequest, Agent as HttpAgent, type IncomingMessage } from 'node:http'
import { request as askHttps, Agent as HttpsAgent } from 'node:https'
import type { MapLogin, MapTls } from '../../../shared/config/map-slices.ts'
import { found, LONGEST_VALUE, type MapAnswer, type MapSource, MISSING, trouble } from './answer.ts'
import type { Gate } from './gate.ts'
import { fillIn } from './parts.ts'
import { passwordOf } from './password.ts'

const ABSENT: ReadonlySet<number> = new Set([204, 404, 410])

export function openHttpMap(url: string, login: MapLogin, { caFile }: MapTls, gate: Gate): MapSource {
  const secure = url.startsWith('https:')
  const ca = caFile === null ? {} : { ca: readFileSync(caFile) }
  const agent = secure ? new HttpsAgent({ keepAlive: true, ...ca }) : new HttpAgent({ keepAlive: true })
  const ask = (key: string, signal: AbortSignal): Promise<MapAnswer> => {
    const headers = { accept: 'text/plain', 'user-agent': 'posthorn', ...authorization(login) }
    const target = new URL(fillIn(url, key, encodeURIComponent))
    const send = secure ? askHttps : askHttp
    return answerTo(send(target, { agent, headers, signal }))
  }
  return {
    wholeKeys: false,
    lookUp: (key) => gate.ask(async (signal) => ask(key, signal)),
    close: () => agent.destroy(),
  }
}

function authorization({ user, passwordFile }: MapLogin): Record<string, string> {
  if (user === null) return {}
  const both = Buffer.from(`${user}:${passwordOf(passwordFile)}`).toString('base64')
  return { authorization: `Basic ${both}` }
}

function answerTo(request: ClientRequest): Promise<MapAnswer> {
  return new Promise((resolve, reject) => {
    request.once('error', reject)
    request.once('response', (response) => {
      const { statusCode = 0 } = response
      if (statusCode === 200) return void readBody(response).then(resolve, reject)
      response.resume()
      resolve(ABSENT.has(statusCode) ? MISSING : trouble(`the server says ${statusCode}`))
    })
    request.end()
  })
}

async function readBody(response: IncomingMessage): Promise<MapAnswer> {
  const pieces: Buffer[] = []
  let octets = 0
  for await (const piece of response as AsyncIterable<Buffer>) {
    octets += piece.length
    if (octets > LONGEST_VALUE) {
      response.destroy()
      return trouble(`a value of more than ${LONGEST_VALUE} octets`)
    }
    pieces.push(piece)
  }
  return found(
    Buffer.concat(pieces)
      .toString('utf8')
      .replace(/\r?\n$/, ''),
  )
}
