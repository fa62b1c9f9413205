/**
 * A connection to a provider: TCP, through SOCKS5 where the account says so, and TLS whose certificate is verified
 * always: against the trusted authorities and the host's name, or against the pinned fingerprints and nothing else.
 *
 * Fails: rejects with an Error whose message says who could not be reached or believed, and never names a secret.
 */
import { readFileSync } from 'node:fs'
import { connect, isIP, type Socket } from 'node:net'
import { type ConnectionOptions, type TLSSocket, connect as tlsConnect } from 'node:tls'
import type { ChannelBinding } from '../../shared/smtp-client/sasl.ts'
import { goThroughSocks, type Passage } from '../../shared/smtp-client/socks.ts'
import type { Account } from '../accounts/account.ts'

/** A connected socket, in the clear. */
export async function dial(account: Account): Promise<Socket> {
  const socket = await dialAnyhow(account)
  // an error between two owners must not end the process; 'close' follows it
  socket.on('error', () => undefined)
  return socket
}

async function dialAnyhow({ socks, host, port, timeout }: Account): Promise<Socket> {
  if (!socks) return dialDirectly(host, port, timeout)
  // before there is a socket, so that none is without somebody who hears its errors
  const { SocksClient } = await import('socks')
  const socket = await dialDirectly(socks.host, socks.port, timeout).catch((error: Error) => {
    throw new Error(`proxy ${socks.host}:${socks.port}: ${error.message}`)
  })
  const proxy = { ...socks, login: null }
  return inTime(socket, timeout, (passage) =>
    goThroughSocks(SocksClient, proxy, socket, { host, port }, passage),
  )
}

function dialDirectly(host: string, port: number, timeout: number): Promise<Socket> {
  const socket = connect({ host, port, noDelay: true })
  return inTime(socket, timeout, ({ through }) => socket.once('connect', through))
}

/** @param work calls one of its argument's functions; a socket that fails or takes too long is gone. */
function inTime(socket: Socket, timeout: number, work: (passage: Passage) => void): Promise<Socket> {
  return new Promise((done, fail) => {
    const timer = setTimeout(() => socket.destroy(new Error('no answer in time')), timeout)
    const settle = () => {
      clearTimeout(timer)
      socket.off('error', failed).off('close', lost)
    }
    const failed = (error: Error) => {
      settle()
      socket.on('error', () => undefined)
      socket.destroy()
      fail(error)
    }
    const lost = () => failed(new Error('the connection was lost'))
    socket.on('error', failed).on('close', lost)
    const through = () => {
      settle()
      done(socket)
    }
    work({ through, failed })
  })
}

/** TLS on a connected socket; resolves when the other side has proved who it is. */
export function secure(socket: Socket, account: Account): Promise<TLSSocket> {
  return new Promise((done, fail) => {
    const secured = tlsConnect({ ...tlsOptions(account), socket })
    const timer = setTimeout(() => secured.destroy(new Error('no TLS in time')), account.timeout)
    secured.once('error', (error) => {
      clearTimeout(timer)
      fail(error)
    })
    secured.once('secureConnect', () => {
      clearTimeout(timer)
      const why = whyUnbelieved(secured, account.fingerprints)
      if (why === '') return done(secured)
      secured.destroy()
      fail(new Error(why))
    })
  })
}

function tlsOptions({ host, trust, certificate, key, fingerprints }: Account): ConnectionOptions {
  return {
    host,
    ...(isIP(host) === 0 ? { servername: host } : {}),
    minVersion: 'TLSv1.2',
    rejectUnauthorized: fingerprints.length === 0,
    ...(trust === null ? {} : { ca: readFileSync(trust) }),
    ...(certificate === null || key === null
      ? {}
      : { cert: readFileSync(certificate), key: readFileSync(key) }),
  }
}

function whyUnbelieved(socket: TLSSocket, fingerprints: readonly string[]): string {
  if (fingerprints.length === 0) return socket.authorized ? '' : 'the certificate is not trusted'
  const shown = socket.getPeerCertificate().fingerprint256?.replaceAll(':', '').toLowerCase() ?? ''
  return fingerprints.includes(shown) ? '' : `the certificate is another one: SHA-256 ${shown}`
}

const EXPORTER_OCTETS = 32

/** Null without TLS. RFC 9266 section 4.2 for the label; RFC 5929 section 3.1: the first Finished is the client's. */
export function channelBinding(socket: Socket): ChannelBinding | null {
  const secured = socket as Partial<TLSSocket>
  if (!secured.encrypted || !secured.getProtocol) return null
  if (secured.getProtocol() === 'TLSv1.3') {
    const data = (socket as TLSSocket).exportKeyingMaterial(
      EXPORTER_OCTETS,
      'EXPORTER-Channel-Binding',
      Buffer.alloc(0),
    )
    return { name: 'tls-exporter', data }
  }
  const data = secured.getFinished?.()
  return data && !secured.isSessionReused?.() ? { name: 'tls-unique', data } : null
}
