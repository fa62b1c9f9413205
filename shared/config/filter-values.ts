/** The types of filters: where they listen. `types.ts` explains what a type is. */
import { isIP } from 'node:net'
import type { FilterAddress } from './filter-slice.ts'
import { port, quote, type Type, toDomain } from './types.ts'
import { bad, ok } from './units.ts'

/** `"/run/x/milter.sock"`, or `127.0.0.1 port 8891`. */
export const filterAddress: Type<FilterAddress> = {
  syntax: '"SOCKET" | "HOST" port PORT',
  read: (args) => {
    const where = args.parse('"SOCKET" or "HOST"', (text) => {
      if (text.startsWith('/') || isIP(text) !== 0) return ok(text)
      const old = /^(unix|local|inet6?):(.*)$/.exec(text)
      if (old) return bad(`\`${text}\` is how sendmail writes it`, hintFor(old[1] ?? '', old[2] ?? ''))
      const name = toDomain(text)
      return name === null
        ? bad(`\`${text}\` is neither a socket nor a host`, 'a path from `/`, or a host and `port PORT`')
        : ok(name)
    })
    if (where === undefined) return undefined
    if (where.startsWith('/')) return { kind: 'unix', path: where }
    if (!args.keyword('port')) return args.fail(args.last, `\`${where}\` has no port`, 'add `port PORT`')
    const number = port.read(args)
    return number === undefined ? undefined : { kind: 'tcp', host: where, port: number }
  },
  valid: (value) => typeof value === 'object' && value !== null,
  print: (value) => (value.kind === 'unix' ? quote(value.path) : `${quote(value.host)} port ${value.port}`),
}

function hintFor(family: string, rest: string): string {
  if (!family.startsWith('inet')) return `write \`"${rest}"\``
  const [number = '', host = 'localhost'] = rest.split('@')
  return `write \`"${host}" port ${number}\``
}
