/**
 * Starts a real Postfix beside a running Posthorn, for the walk in the README, until ctrl-C.
 *
 * Usage, as root: `node dist/test/support/postfix-beside.js PORT NEXT-HOP-PORT ADDRESS`. Postfix listens on PORT of
 * loopback, gives everything to NEXT-HOP-PORT, and knows echo@postfix.example as another name of ADDRESS.
 */
import { startPostfix } from './postfix.ts'

const [port, nextHop] = process.argv.slice(2, 4).map(Number)
const here = process.argv[4]
if (!port || !nextHop || !here) {
  process.stderr.write('usage: postfix-beside.js PORT NEXT-HOP-PORT ADDRESS\n')
  process.exit(64)
}

const postfix = await startPostfix({ port, nextHop, alias: { there: 'echo', here } })
if (!postfix) process.exit(69)
process.stdout.write(`Postfix listens on 127.0.0.1 port ${port}; ctrl-C stops it\n`)
const idle = setInterval(() => undefined, 60_000)
const leave = () => {
  clearInterval(idle)
  process.stdout.write(postfix.log())
  postfix.stop()
}
process.once('SIGINT', leave)
process.once('SIGTERM', leave)
