/**
 * From what went wrong to what the sender is told: `later`, and `never` only in the words of a command. A full disk, a
 * home that is not mounted or a Maildir of the wrong owner can all be mended, and whoever mends them wants the mail.
 *
 * Blame (see `message/outcome.ts`): what concerns one mailbox is the recipient's and expires like any other
 * failure; shortage in the process or the machine is ours and is held against nobody.
 */
import type { Blame, Outcome } from '../../shared/message/outcome.ts'
import { KeyTrouble } from './cipher.ts'
import { CommandFailed } from './command-outcome.ts'

/** A mailbox that is not as it must be: a link where a directory should be, somebody else's directory. */
export class MailboxRefused extends Error {
  override name = 'MailboxRefused'
}

/** Another program holds the lock of an mbox for too long. */
export class MailboxLocked extends Error {
  override name = 'MailboxLocked'
}

/** The config's own quota, not the file system's. */
export class QuotaExceeded extends Error {
  override name = 'QuotaExceeded'
}

interface Verdict {
  code: number
  enhanced: string
  text: string
  blame: Blame
}

/** RFC 3463 sections 3.3 and 3.4. */
const verdicts: Readonly<Record<string, Verdict>> = {
  ENOSPC: { code: 452, enhanced: '4.3.1', text: 'no space left for the mailbox', blame: 'recipient' },
  EDQUOT: { code: 452, enhanced: '4.2.2', text: 'mailbox over quota', blame: 'recipient' },
  EFBIG: { code: 452, enhanced: '4.2.2', text: 'message over the file size limit', blame: 'recipient' },
  EROFS: { code: 451, enhanced: '4.3.0', text: 'mailbox on a read-only file system', blame: 'recipient' },
  EACCES: { code: 451, enhanced: '4.2.0', text: 'mailbox not accessible', blame: 'recipient' },
  EPERM: { code: 451, enhanced: '4.2.0', text: 'mailbox not accessible', blame: 'recipient' },
  ENOENT: { code: 451, enhanced: '4.2.0', text: 'mailbox directory missing', blame: 'recipient' },
  ENOTDIR: { code: 451, enhanced: '4.2.0', text: 'mailbox is no directory', blame: 'recipient' },
  EISDIR: { code: 451, enhanced: '4.2.0', text: 'mailbox is a directory', blame: 'recipient' },
  ENXIO: { code: 451, enhanced: '4.2.0', text: 'mailbox is not a file', blame: 'recipient' },
  ENAMETOOLONG: { code: 451, enhanced: '4.2.0', text: 'name of the mailbox too long', blame: 'recipient' },
  ELOOP: { code: 451, enhanced: '4.2.0', text: 'mailbox behind a symbolic link', blame: 'recipient' },
  EIO: { code: 451, enhanced: '4.3.0', text: 'input/output error on the mailbox', blame: 'recipient' },
}
const unforeseen: Verdict = {
  code: 451,
  enhanced: '4.3.0',
  text: 'local trouble while delivering',
  blame: 'ours',
}

/** RFC 3463 section 3.8: cryptographic failure. */
const noKey: Verdict = {
  code: 451,
  enhanced: '4.7.5',
  text: 'the key of the mailbox cannot be used',
  blame: 'recipient',
}

const locked: Verdict = { code: 451, enhanced: '4.2.0', text: 'mailbox is locked', blame: 'recipient' }

export function failureOutcome(error: unknown): Outcome {
  if (error instanceof CommandFailed) return error.outcome
  if (error instanceof MailboxLocked) return later(locked)
  if (error instanceof QuotaExceeded) return later(verdicts['EDQUOT'] ?? unforeseen)
  if (error instanceof MailboxRefused) return later({ ...unforeseen, enhanced: '4.2.0', blame: 'recipient' })
  if (error instanceof KeyTrouble) return later(noKey)
  const code = errorCode(error)
  return later((Object.hasOwn(verdicts, code) ? verdicts[code] : undefined) ?? unforeseen)
}

/** For what is no fault of the mailbox: the attempt was called off, or came to the wrong process. */
export function oursOutcome(text: string): Extract<Outcome, { kind: 'later' }> {
  return later({ ...unforeseen, text })
}

export function errorCode(error: unknown): string {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined
  return code ?? ''
}

function later({ blame, ...reply }: Verdict): Extract<Outcome, { kind: 'later' }> {
  return { kind: 'later', reply: { ...reply, host: '' }, blame }
}
