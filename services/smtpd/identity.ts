/**
 * Who is at the other end of the local socket, and what that makes of a session's setting.
 *
 * The kernel's word on uid and gid is all that is believed (unix(7), SO_PEERCRED); the resolver knows the names
 * that go with it. A caller that the kernel cannot tell is a stranger like those of port 25; one that cannot be
 * looked up now hears 451 at MAIL. `identify` asks, the rest is pure. Next: `rights.ts`.
 */
import type { Answer, Payload } from '../../shared/bus/messages.ts'
import type { SmtpdSlice } from '../../shared/config/slices.ts'
import { authorOf, type Caller, judgeOf, type Rights, rightsOf, unrestricted } from './rights.ts'
import type { Setting } from './state.ts'
import type { Author } from './submission.ts'

type Site = Pick<SmtpdSlice, 'policies' | 'qualifyDomain' | 'recipientDelimiter'>

/** A session whose client has not said who it is. */
export const unknownClient = {
  author: null,
  rights: unrestricted,
  judge: judgeOf(unrestricted, null, { qualifyDomain: '', delimiter: '' }),
} as const

/** @param ownUid the server's own. */
export function asCaller(
  setting: Setting,
  uid: number | undefined,
  answer: Answer<'caller'> | null,
  site: Site,
  ownUid: number,
): Setting {
  if (uid === undefined) return { ...setting, ...unknownClient, mayRelay: false }
  if (answer === null) return { ...setting, rights: { ...unrestricted, mail: 'later' } }
  const known = answer.kind === 'known' ? answer : { name: null, fullName: '', groups: [] }
  const caller: Caller = { uid, name: known.name, fullName: known.fullName, groups: known.groups }
  const rights = rightsOf(caller, { ...site, ownUid })
  return entitled(setting, rights, authorOf(caller, site.qualifyDomain), site)
}

interface Asked {
  caller: (question: Payload<'caller'>, answered: (answer: Answer<'caller'> | null) => void) => void
}

/** Asks who it is; `done` may come at once. */
export function identify(
  bus: Asked,
  setting: Setting,
  peer: { gid: number } | null,
  site: Site,
  done: (setting: Setting) => void,
): void {
  const { uid } = setting
  const told = (answer: Answer<'caller'> | null) =>
    done(asCaller(setting, uid, answer, site, process.geteuid?.() ?? -1))
  if (peer && uid !== undefined) bus.caller({ uid, gid: peer.gid }, told)
  else told(null)
}

/** One who has logged in. What `sender-login` gives to a login needs no Sender beside it. */
export function asLogin(
  setting: Setting,
  user: string,
  owned: (user: string, address: string) => boolean,
  site: Site,
): Setting {
  const caller: Caller = { name: user, fullName: '', groups: [] }
  const rights = rightsOf(caller, { ...site, ownUid: -1 })
  const own = entitled(setting, rights, authorOf(caller, site.qualifyDomain), site)
  const owns = (address: string) => own.judge.owns(address) || owned(user, address)
  return { ...own, judge: { ...own.judge, owns } }
}

/** For whoever has proved who he is, by whatever way he came. */
export function entitled(setting: Setting, rights: Rights, author: Author, site: Site): Setting {
  const { qualifyDomain, recipientDelimiter: delimiter } = site
  return {
    ...setting,
    author,
    rights,
    judge: judgeOf(rights, author, { qualifyDomain, delimiter }),
    messageSizeLimit: Math.min(setting.messageSizeLimit, rights.messageSizeLimit ?? Number.POSITIVE_INFINITY),
    recipientLimit: Math.min(setting.recipientLimit, rights.recipientLimit ?? Number.POSITIVE_INFINITY),
  }
}
