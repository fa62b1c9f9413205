/**
 * What a command is started with: its words, and an environment of which it can trust that no name in it means more than a
 * name. Pure.
 */
import type { Command, Mailbox } from '../../shared/message/route.ts'

export interface Occasion {
  sender: string
  recipient: string
  /** What senders wrote, where that was something else. */
  original: string
  /** Ours, by which it is known again. */
  mark: string
}

/** A text that a shell would only split at blanks needs none. */
const PLAIN = /^[\w@%+=:,./ \t-]+$/

export function wordsOf({ words, shell }: Pick<Command, 'words' | 'shell'>): string[] {
  return shell ? ['/bin/sh', '-c', words.join(' ')] : [...words]
}

/** Of `|command` in a file of aliases: as sendmail runs it, but by a shell only where it needs one. */
export function aliasCommand(text: string, name: string): Command {
  const plain = PLAIN.test(text) && text.trim().startsWith('/')
  const words = plain ? text.trim().split(/[ \t]+/) : [text]
  return { words, shell: !plain, name, extension: '', fromLine: true }
}

/** Nothing of our own environment but the time zone. */
export function environmentOf(
  mailbox: Mailbox,
  { name, extension }: Pick<Command, 'name' | 'extension'>,
  { sender, recipient, original, mark }: Occasion,
): Record<string, string> {
  const at = recipient.lastIndexOf('@')
  const zone = process.env['TZ']
  return {
    PATH: '/usr/local/bin:/usr/bin:/bin',
    HOME: mailbox.home,
    SHELL: '/bin/sh',
    LANG: 'C',
    ...(zone !== undefined && { TZ: zone }),
    USER: harmless(name),
    LOGNAME: harmless(name),
    EXTENSION: harmless(extension),
    LOCAL: harmless(recipient.slice(0, at)),
    DOMAIN: harmless(recipient.slice(at + 1)),
    RECIPIENT: harmless(recipient),
    ORIGINAL_RECIPIENT: harmless(original),
    SENDER: harmless(sender),
    [MARK]: mark,
  }
}

/** Whatever a command leaves behind is known by it. */
export const MARK = 'POSTHORN_DELIVERY'

/** Letters and digits of any script, and signs that no shell and no program takes for more; never at first a dash. */
export function harmless(text: string): string {
  return text.replace(/[^\p{L}\p{M}\p{N}!@%_=+:,./-]/gu, '_').replace(/^-/, '_')
}
