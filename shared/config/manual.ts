/**
 * The reference manual of posthorn.conf, `config/options.md`, written from the option table; `posthorn options`
 * prints the same. A test fails when the file is not what this makes.
 */
import { allBlocks } from './options.ts'
import { PROVIDERS } from './providers.ts'
import type { BlockType, Option } from './section.ts'

const intro = `# posthorn.conf: every option

Written from the option table in \`shared/config/options.ts\`; do not edit.

A statement is a name, its arguments and a \`;\`. Comments are \`// …\`, \`# …\` and \`/* … */\`. Words may be bare or in
double quotes, with \`\\"\` and \`\\\\\` inside.

| written as | is |
|---|---|
| SIZE | octets, with K, M, G or T for powers of 1024: \`25M\` |
| DURATION | numbers with ms, s, m, h, d, w: \`5m30s\`; 0 needs no unit |
| RATE | a number per s, m, h or d: \`60/m\` |
| PATH | relative to the directory of the file that it stands in, where nothing else is said |
| MATCH | \`any\`, \`none\`, \`localhost\` (this machine's addresses), \`localnets\` (the networks it is on), \`local\` (the unix socket), an address, a network \`192.0.2.0/24\`, \`name "PATTERN"\` (the client's name in DNS), the name of an \`acl\`, or a list in braces; \`!\` before it turns it into a no; the first element that matches decides |

\`include "PATTERN";\` stands for the contents of the files that the pattern names, wherever a statement may stand. It
is relative to the file that it stands in.

\`acl "NAME" { [!]MATCH; … };\` names a list of addresses.

\`name "*.example.org"\` is about what a client's address is called in DNS (PTR), if that name leads back to the address;
\`*\` stands for anything. It can stand in \`allow\`, \`relay\`, \`xforward\`, \`vrfy\`, \`expn\` and \`etrn\` of a listener, in
\`exempt\` of a \`screening\`, in \`client\` of \`access\` rules, and in what these name. A client without such a name matches
none. DNS is asked before the greeting, when a client's name decides. While DNS cannot tell, a list that depends on the
name does not match; \`allow\` says 421 4.4.3 then, and behind an \`access\` rule that could have been for the client what
would be refused for good is put off. A name is as true as DNS: prefer addresses where much hangs on it.
`

const outro = `
## Known providers

In force unless \`known-providers no;\` stands in \`qmgr\`, behind the config's own sections; one of the same name takes
the place of one of these.

\`\`\`
${PROVIDERS.trimEnd()}
\`\`\`
`

export function renderOptions(): string {
  return intro + allBlocks.map(renderBlock).join('') + outro
}

export function renderBlock(block: BlockType): string {
  const title = block.title ? ` ${block.title.syntax}` : ''
  const rows = Object.entries(block.options).map(([name, option]) => renderOption(name, option))
  const inside = block.name === 'channel' ? ' (in `logging`)' : ''
  return `
## ${block.name}${title} { … };

${block.doc.replace(/\.?$/, `${inside}.`)}

| option | default | told to | |
|---|---|---|---|
${rows.join('')}`
}

function renderOption(name: string, option: Option<unknown>): string {
  const { type } = option
  const times = option.many ? ', more than once' : ''
  const only = option.only ? `Type ${option.only.join(' and ')}. ` : ''
  const range = type.range ? ` ${type.range}.` : ''
  const written = `\`${name}${type.syntax === '' ? '' : ` ${type.syntax}`};\``.replaceAll('|', '\\|')
  const told = option.readers.length === 6 ? 'all' : option.readers.join(', ')
  return `| ${written}${times} | ${renderDefault(option)} | ${told} | ${only}${option.doc}${range} |\n`
}

function renderDefault(option: Option<unknown>): string {
  if (option.required) return 'must be set'
  if (option.usual !== null) return option.usual
  if (option.fallback === null) return 'none'
  if (Array.isArray(option.fallback) && option.fallback.length === 0) return 'none'
  return `\`${option.type.print(option.fallback).replaceAll('|', '\\|')}\``
}
