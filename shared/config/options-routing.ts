/**
 * The option table, the part about ways to other servers: groups of hosts that take mail on, and the rules by which mail
 * goes to them. See `options.ts`.
 */
import { block, many, maybe, one, sectionName } from './blocks.ts'
import { outgoing } from './options-outgoing.ts'
import { routeRule } from './routing-values.ts'
import * as t from './types.ts'
import * as v from './values.ts'

export const hosts = one(t.braced(v.nextHop, 50), [], {
  doc: 'The hosts to send to, in order, or a unix socket; port 25 for smtp, 24 for lmtp. Neighbours with a `weight` share the mail by it.',
  readers: ['resolver'],
})

export const relayBlock = block(
  'relay',
  sectionName,
  'Hosts that take mail on for others; named by `zone` and by rules of `routing`.',
  {
    hosts,
    logins: maybe(t.path, {
      doc: "Log in to the hosts (RFC 4954): a file of lines `KEY USER:PASSWORD`, readable for `smtpc-user`. The key is a sender, `@DOMAIN` of senders, a host's name or `*`; the first that is there, in this order, counts. Only over TLS with a certificate that verifies, or on this machine.",
      usual: 'no login',
      readers: ['smtpc'],
    }),
    ...outgoing(null, 'as in `smtpc`'),
  },
)

export const routingBlock = block(
  'routing',
  sectionName,
  'Rules by which mail for a zone goes another way than the zone says; the first that fits decides.',
  {
    rule: many(routeRule, {
      doc: 'On what (all that is given must be so), and the way then. `provider` is a `server` section, a host name of a mail exchanger or the domain of who runs it; `attempt`: from that one on; `size`: so large or larger; `user`: who has logged in, the account of a policy, or a uid. `map`: its values are `relay NAME`, `direct`, `discard`, `error CODE X.Y.Z TEXT`, `smtp:HOST:PORT` or `lmtp:HOST:PORT`. `else`: the way while a `retry-class` has suspended the first one, or where it has no host.',
      usual: 'the way of the zone',
      readers: ['resolver'],
    }),
  },
)
