/**
 * What the value of a map says of the way of a recipient: `relay NAME`, `direct`, `discard`, `error CODE X.Y.Z TEXT`,
 * and `smtp:HOST:PORT` or `lmtp:HOST:PORT` (brackets around HOST, `lmtp:unix:/PATH`) as in Postfix's transport tables;
 * those hosts are asked for their addresses, not their domain for exchangers. Pure. Fails: with a text for the log.
 */
import { isIP } from 'node:net'
import type { RouteWay } from '../../shared/config/slices.ts'
import type { NextHop } from '../../shared/config/values.ts'

export type MapWay = RouteWay | { kind: 'host'; hop: NextHop }

const USUAL_PORT = { smtp: 25, lmtp: 24 } as const

export function readWay(value: string): MapWay | string {
  const text = value.trim()
  const [word = '', ...rest] = text.split(/\s+/)
  switch (word) {
    case 'direct':
    case 'discard':
      return rest.length === 0 ? { kind: word } : `\`${text}\` says more than one thing`
    case 'relay':
      return rest.length === 1 && rest[0] !== undefined
        ? { kind: 'relay', name: rest[0].replace(/^"(.*)"$/, '$1') }
        : '`relay` needs one name'
    case 'error':
      return readError(text.slice(word.length).trim())
    default:
      return readHost(text)
  }
}

function readError(text: string): MapWay | string {
  const [, code = '550', enhanced, said = ''] =
    /^(?:([45]\d\d)\s*)?(?:([45]\.\d{1,3}\.\d{1,3})\s*)?(.*)$/s.exec(text) ?? []
  const usual = enhanced ?? `${code.charAt(0)}.1.2`
  if (code === '421' || code.charAt(0) !== usual.charAt(0)) return `${usual} does not go with ${code}`
  if (!/^[\x20-\x7e]{0,200}$/.test(said)) return 'this text cannot be said: at most 200 characters of ASCII'
  const reply = { code: Number(code), enhanced: usual, text: said || 'No mail is taken for this address' }
  return { kind: 'error', reply }
}

function readHost(text: string): MapWay | string {
  const [, protocol = '', place = ''] = /^(smtp|lmtp):(.+)$/.exec(text) ?? []
  if (protocol !== 'smtp' && protocol !== 'lmtp') return `\`${text}\` is no way`
  const path = /^unix:(\/.{0,106})$/.exec(place)?.[1]
  if (path !== undefined) return { kind: 'host', hop: { host: path, port: 0, protocol, weight: null } }
  const [, inner, bare, number] = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(place) ?? []
  const host = (inner ?? bare ?? '').toLowerCase()
  const port = number === undefined ? USUAL_PORT[protocol] : Number(number)
  if (port < 1 || port > 65535 || (isIP(host) === 0 && !/^[a-z0-9._-]{1,253}$/.test(host)))
    return `\`${place}\` is no host`
  return { kind: 'host', hop: { host, port, protocol, weight: null } }
}
