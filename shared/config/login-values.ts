/**
 * The types of logging in: mechanisms, what a listener makes of an `auth` section, addresses of OAuth servers.
 * `types.ts` explains what a type is.
 */
import { oneOf, quote, type Type } from './types.ts'
import { bad, ok } from './units.ts'

export const authMechanisms = oneOf(
  'SCRAM-SHA-256-PLUS',
  'SCRAM-SHA-256',
  'EXTERNAL',
  'OAUTHBEARER',
  'XOAUTH2',
  'PLAIN',
  'LOGIN',
)

export interface AuthUse {
  /** Of an `auth` section. */
  name: string
  required: boolean
}

export const authUse: Type<AuthUse> = {
  syntax: '"NAME" [required | offered]',
  read: (args) => {
    const name = args.word('the name of an `auth` section')
    if (!name) return undefined
    if (!args.peekWord()) return { name: name.text, required: true }
    const how = args.oneOf(['required', 'offered'] as const)
    return how === undefined ? undefined : { name: name.text, required: how === 'required' }
  },
  valid: (value) => typeof value === 'object' && value !== null,
  print: ({ name, required }) => `${quote(name)} ${required ? 'required' : 'offered'}`,
}

const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/

/** Tokens are passwords: they go over TLS, or stay on this machine. */
export const oauthUrl: Type<string> = {
  syntax: '"URL"',
  read: (args) =>
    args.parse('"URL"', (text) => {
      if (!URL.canParse(text))
        return bad(`\`${text}\` is no URL`, 'for example `https://id.example.org/jwks`')
      const { protocol, hostname } = new URL(text)
      if (protocol === 'https:' || (protocol === 'http:' && LOOPBACK.test(hostname))) return ok(text)
      return bad(`\`${text}\` would send tokens in the clear`, 'https, or http on this machine')
    }),
  valid: (value) => typeof value === 'string',
  print: quote,
}
