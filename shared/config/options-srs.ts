/** The option table: the names that mail bears which is sent on (SRS). See `options.ts`. */
import { block, maybe } from './blocks.ts'
import * as t from './types.ts'

export const srsBlock = block(
  'srs',
  null,
  'Mail that an alias sends on to other servers bears a reverse-path of ours (Sender Rewriting Scheme), which leads back to who wrote it. Mail of our own domains stays as it is.',
  {
    domain: maybe(t.fullDomain, {
      doc: 'The domain of such reverse-paths: a local zone, that allows this server in SPF.',
      usual: 'nothing is rewritten',
      readers: ['resolver'],
    }),
    secret: maybe(t.path, {
      doc: 'A file with the secret that proves them, 16 characters at least; older ones on further lines are still believed. Whoever `resolver-user` is must be able to read it.',
      readers: ['resolver'],
    }),
  },
)
