/**
 * Envelopes as the store keeps them: msgpack, checked again when read, because what a disk gives back is input.
 * Routes are left out: they are decided again when the message is taken up.
 */
import { Packr, Unpackr } from 'msgpackr'
import { type Envelope, envelopeShape } from '../../shared/message/envelope.ts'

const packr = new Packr({ useRecords: false })
const unpackr = new Unpackr({ useRecords: false })

export function encodeEnvelope(envelope: Envelope): Uint8Array {
  return packr.pack(withoutRoutes(envelope))
}

/** @throws Error when the bytes are no envelope of this version. */
export function decodeEnvelope(data: Uint8Array): Envelope {
  const envelope: unknown = unpackr.unpack(data)
  if (!envelopeShape.accepts(envelope)) throw new Error(envelopeShape.explain(envelope, 'envelope'))
  return envelope
}

function withoutRoutes(envelope: Envelope): Envelope {
  return {
    ...envelope,
    recipients: envelope.recipients.map(({ route: _route, ...recipient }) => recipient),
  }
}
