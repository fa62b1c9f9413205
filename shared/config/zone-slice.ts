/** A zone as the resolver is told of it. All times are milliseconds, all paths absolute. */
import type { Encryption, Quota } from '../message/route.ts'
import type { OtherDelivery } from './delivery-values.ts'
import type { TableSlice } from './map-slices.ts'
import type { OwnReply, RouteRuleSlice } from './routing-slice.ts'
import type { NextHop } from './values.ts'

export interface ZoneSlice {
  /** Only mail with a valid DKIM signature of its sender goes there. */
  requireSignature: boolean
  /** What becomes of mail that its author's domain says is not its own (DMARC). */
  forged: 'tag' | 'quarantine' | 'reject'
  /** How long a client may wait for a delivery to this zone; 0: not at all. */
  cutThrough: number
  /** A domain in A-label form, lower case; '.' is everything else; '*.example.org' all below. */
  name: string
  type: 'local' | 'relay' | 'backup' | 'remote' | 'error' | 'discard'
  /** local: where the users are: the system's, or this file (`user:uid:gid:home` and so on, see the manual). */
  users:
    | { kind: 'system'; minimumUid: number; except?: string[] }
    | { kind: 'file'; path: string }
    /** Whose all these mailboxes are; null: our own, everything runs as its caller. */
    | { kind: 'map'; name: string; owner: { uid: number; gid: number } | null }
    | null
  /** local: files of aliases and maps, asked in order. */
  aliases: TableSlice[]
  /** local: as whom commands and files of aliases are run and written; absent: there are none. */
  aliasUser?: { user: string; uid: number; gid: number }
  /** local: who gets what nobody else does. */
  catchAll?: string
  /** local: users may have a `.forward`. */
  forward?: boolean
  /** relay, backup: the map of all recipients there are; null: nobody knows. */
  recipients: string | null
  /** local: a Maildir, relative to the home where it begins with `~/`, with placeholders; null where `deliver` says more. */
  maildir: string | null
  /** local: the Maildir's folder named by `+detail`, where there is one. */
  folders?: boolean
  /** local: of the Maildir. */
  quota?: Quota
  /** local: what there is in the place of a Maildir. */
  deliver?: Exclude<OtherDelivery, { kind: 'lmtp' }>
  /** local: how mail is stored, where it is not as it came. */
  encryption: Encryption | null
  /** relay: the next hops in order; local: where all mail of users goes, by LMTP. */
  hosts: NextHop[]
  /** relay: the section that has them. */
  relay: string | null
  /** relay, backup, remote: asked before all that. */
  routing: RouteRuleSlice[]
  /** error. */
  reply: OwnReply | null
}
