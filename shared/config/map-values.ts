/** The types of what stands in `map` sections, and of options that take a file or `map "NAME"`. */
import type { TableSlice } from './map-slices.ts'
import { path, quote, type Type, text } from './types.ts'
import { bad, ok } from './units.ts'

/** `map "NAME"`, where only a map will do. */
export const mapName: Type<string> = {
  syntax: 'map "NAME"',
  read: (args) => {
    if (args.oneOf(['map']) === undefined) return undefined
    return args.word('the name of a map')?.text
  },
  valid: (value) => typeof value === 'string',
  print: (value) => `map ${quote(value)}`,
}

export const table: Type<TableSlice> = {
  syntax: '"PATH" | map "NAME"',
  read: (args) => {
    if (!args.keyword('map')) {
      const file = path.read(args)
      return file === undefined ? undefined : { kind: 'file', path: file }
    }
    const name = args.word('the name of a map')
    return name && { kind: 'map', name: name.text }
  },
  valid: (value) => typeof value === 'object' && value !== null,
  print: (value) => (value.kind === 'file' ? quote(value.path) : mapName.print(value.name)),
}

const SCHEMES = ['http:', 'https:', 'ldap:', 'ldaps:', 'ldapi:']

export const mapUrl: Type<string> = {
  syntax: '"URL"',
  read: (args) =>
    args.parse('"URL"', (given) => {
      const plain = given.replaceAll(PLACEHOLDER, 'x')
      if (!URL.canParse(plain) || !SCHEMES.includes(new URL(plain).protocol))
        return bad(
          `\`${given}\` is no URL for a map`,
          'it begins with https://, http://, ldaps:// or ldap://',
        )
      const { username, password } = new URL(plain)
      return username + password === ''
        ? ok(given)
        : bad('a URL with a login in it', 'say `user "NAME"; password-file "PATH";`')
    }),
  valid: (value) => typeof value === 'string',
  print: quote,
}

/** `:key`, `:user` and `:domain`, which are bound and never put into the text. */
export const sqlQuery: Type<string> = {
  ...text,
  syntax: '"SQL"',
  read: (args) =>
    args.parse('"SQL"', (given) =>
      BOUND.test(given)
        ? ok(given)
        : bad(
            'this query asks for nothing in particular',
            'put `:key` where the key belongs, without quotes',
          ),
    ),
}

const BOUND = /(?<!:):(?:key|user|domain)\b/

/** Of URLs and filters: `%k` the key, `%u` what stands before `@`, `%d` what stands behind. */
export const PLACEHOLDER = /%[kud]/g

export const searchFilter: Type<string> = {
  ...text,
  syntax: '"FILTER"',
  read: (args) =>
    args.parse('"FILTER"', (given) =>
      /^\(.*%[ku].*\)$/s.test(given)
        ? ok(given)
        : bad(`\`${given}\` is no filter`, 'such as `(mail=%k)`, with the key in it'),
    ),
}
