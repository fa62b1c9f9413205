/**
 * A route: where the resolver says a recipient's copy goes next. It is decided at RCPT time, travels with the
 * envelope for the first attempt, and is asked for again before every later one, so that a mended config or
 * DNS record heals queued mail.
 *
 * `destination` names what shares connections, and lives and dies together: the sorted MX hosts of a remote domain,
 * the host list of a relay zone, `local:<uid>` for mailboxes, `agent:<uid>` for the sender's own agent, which qmgr puts
 * in the place of a way out of the machine. `provider` names who runs the mail exchangers that are
 * tried first; all destinations of one provider share limits in qmgr.
 *
 * Domains with the same hosts, but not the same proof of them, are different destinations: what is good enough for
 * the one may not be for the other. Such a destination has the proof behind its hosts, after a space.
 *
 * What DNSSEC proves is said on each step, for DANE (RFC 7672): that these are the hosts, that these are a host's
 * addresses, and what it must show in TLS.
 */
import { boolean, type Infer, integer, list, oneOf, optional, string, struct, union } from '../base/shape.ts'

/** RFC 6698 section 2.1; `data` in hexadecimal. */
export const tlsaRecordShape = struct({
  usage: integer,
  selector: integer,
  matching: integer,
  data: string,
})
export type TlsaRecord = Infer<typeof tlsaRecordShape>

/** The TLSA records of a host and port, proven (RFC 7672 section 2.2). */
export const tlsaShape = union({
  /** base: the name below which they stand, which is also the name to ask for in TLS (section 3.2). */
  found: { base: string, records: list(tlsaRecordShape, 32) },
  /** There may be some and nobody can say: the host is not to be used where DANE is wanted (section 2.1.2). */
  failed: {},
})
export type Tlsa = Infer<typeof tlsaShape>

/** One next hop: a name for logs and TLS, addresses to connect to in order (IP literals, no brackets), or the path of a socket. */
export const hostShape = struct({
  name: string,
  addresses: list(string, 64),
  port: integer,
  /** MX preference, RFC 5321 section 5.1: lower is tried first, equal ones in random order. */
  preference: integer,
  /** DNSSEC proves the addresses. */
  secure: optional(boolean),
  /** Its share among hosts of the same preference; absent: 1. */
  weight: optional(integer),
  /** Absent: there are none, or DNSSEC does not prove the way to them. */
  tlsa: optional(tlsaShape),
})
export type Host = Infer<typeof hostShape>

/** For whom lda encrypts before it stores. */
export const encryptionShape = struct({
  kind: oneOf('age', 'openpgp'),
  /** age: recipients; openpgp: fingerprints, addresses; both: files, `/PATH` or `~/PATH` below the home. */
  keys: list(string, 20),
  /** From, To, Date and Message-ID stay readable. */
  showHeader: boolean,
})
export type Encryption = Infer<typeof encryptionShape>

/** What a message is given to on standard input. */
export const commandShape = struct({
  /** The program and its arguments; with `shell` one text for `/bin/sh -c`. */
  words: list(string, 200),
  shell: boolean,
  /** USER and EXTENSION of its environment: the name that was found, and what stood behind the delimiter. */
  name: string,
  extension: string,
  /** The line `From SENDER DATE` stands on top, as programs behind aliases expect it. */
  fromLine: boolean,
})
export type Command = Infer<typeof commandShape>

/** What a Maildir may hold; 0: as much as there is. */
export const quotaShape = struct({ octets: integer, messages: integer })
export type Quota = Infer<typeof quotaShape>

export const mailboxShape = struct({
  /** The system user that owns the mailbox; lda runs as this uid and gid and as nothing else. */
  user: string,
  uid: integer,
  gid: integer,
  home: string,
  /** `file` is written as an mbox is, with no lock file beside it; `pipe` is a command. */
  format: oneOf('maildir', 'mbox', 'file', 'pipe'),
  /** Absolute; '' for a command. */
  path: string,
  /** maildir: how it is stored, where it is not as it came. */
  encryption: optional(encryptionShape),
  /** maildir: the folder of Maildir++ that it goes to if there is one of that name, without the dot before it. */
  folder: optional(string),
  /** maildir. */
  quota: optional(quotaShape),
  /** pipe. */
  command: optional(commandShape),
})
export type Mailbox = Infer<typeof mailboxShape>

/**
 * What an alias or a user's own rules name instead of the mailbox: a command, which gets the message on its standard
 * input, or a file, to which the message is appended. It is done as the mailbox's user, whom `user` names for the log,
 * and as nobody else; the address of such a target is never that of a mailbox.
 */
export const deliveryShape = union({
  pipe: { command: string, user: string },
  file: { path: string, user: string },
})
export type Delivery = Infer<typeof deliveryShape>

/** MTA-STS (RFC 8461) of the domain: hosts and their names are to be proven. */
export const stsShape = struct({
  /** testing: what is not proven is reported, and no more than that. */
  mode: oneOf('enforce', 'testing'),
  /** The domain whose policy it is. */
  domain: string,
  /** Names of hosts; a leading `*.` stands for one label. */
  mx: list(string, 100),
})
export type Sts = Infer<typeof stsShape>

const nextHops = {
  destination: string,
  protocol: oneOf('smtp', 'lmtp'),
  hosts: list(hostShape, 200),
  /** DNSSEC proves that these are the hosts; or the config says so, for a relay zone. */
  secure: optional(boolean),
  sts: optional(stsShape),
  /** Absent where that is the destination itself. */
  provider: optional(string),
  /** The `relay` section whose hosts these are. */
  relay: optional(string),
} as const

export const routeShape = union({
  smtp: {
    zone: string,
    ...nextHops,
    /** The reverse-path that it bears, of mail that is sent on; absent: the envelope's. */
    sender: optional(string),
    /** Where it goes while its group is suspended. */
    instead: optional(struct(nextHops)),
  },
  /** Nowhere: it is taken and dropped. */
  discard: { zone: string, destination: string },
  local: {
    zone: string,
    destination: string,
    mailbox: mailboxShape,
    /** The user's own `.forward` is followed. */
    forward: optional(boolean),
    /** Absent: into the mailbox. */
    delivery: optional(deliveryShape),
  },
  /** To the agent of the user who handed the message in; the zone is that of the way it takes the place of. */
  agent: { zone: string, destination: string, uid: integer },
})
export type Route = Infer<typeof routeShape>

/** One final recipient that an address stands for: itself, or what an alias made of it. */
export const targetShape = struct({
  address: string,
  /** The address stands for a list: it is accepted now, and qmgr asks for its members. */
  list: optional(boolean),
  /** Of a command or a file: the address whose alias names it. */
  via: optional(string),
  /** Absent when DNS could not answer in time: accepted now, routed before the first attempt. */
  route: optional(routeShape),
})
export type Target = Infer<typeof targetShape>
