/** Who answers which question on the resolver's bus. What takes its time is held, so that a drain can wait for it. */
import type { Handlers } from '../../shared/bus/peer.ts'
import type { Assembled } from './assembly.ts'
import type { InHand } from './in-hand.ts'

/** @param resolver of the config in force. */
export function handlersOf(resolver: () => Assembled, inHand: InHand): Handlers {
  return {
    resolve: (question, peer) =>
      inHand.hold(resolver().resolve({ ...question, queued: peer.identity?.role === 'qmgr' })),
    expand: (question) => inHand.hold(resolver().expand(question)),
    'sender-policy': (question) => inHand.hold(resolver().senderPolicy(question)),
    screen: (question) => inHand.hold(resolver().screen(question)),
    'name-client': (question) => inHand.hold(resolver().nameClient(question)),
    greylist: (question) => resolver().greylist(question),
    'greylist-act': (question) => resolver().greylistAct(question),
    'dmarc-counts': (news) => resolver().countDmarc(news),
    'tls-counts': (news) => resolver().countTls(news),
    'reports-act': (question) => inHand.hold(resolver().reportsAct(question)),
    'look-up-text': (question) => inHand.hold(resolver().lookUpText(question)),
    'look-up': (question) => inHand.hold(resolver().lookUp(question)),
    caller: (question) => resolver().caller(question),
  }
}
