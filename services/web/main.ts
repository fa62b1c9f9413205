/**
 * web: the MTA-STS policy and the settings of mail programs, by HTTP. See README.md.
 *
 * Wiring only. It speaks to no other process but mcp. Next: `server.ts`, `request.ts`, `pages.ts`.
 */
import type { WebSlice } from '../../shared/config/slices.ts'
import { type Context, Fatal, type Running, runService } from '../../shared/runtime/service.ts'
import { WebServer } from './server.ts'

runService('web', start)

async function start({ slice, log, descriptor }: Context<'web'>): Promise<Running<'web'>> {
  if (!slice) throw new Fatal('nothing to serve')
  const servers = await Promise.all(
    slice.places.map(async ({ name, secure }) => {
      const fd = descriptor(name)
      if (fd === undefined) throw new Fatal(`no descriptor for ${name}`)
      const server = new WebServer(slice, log, secure)
      await server.accept(fd)
      return { name, server }
    }),
  )
  return {
    drain: async () => void (await Promise.all(servers.map(({ server }) => server.drain()))),
    reconfigure: (news) => news && reconfigure(servers, news),
    figures: () => ({ answers: servers.reduce((sum, { server }) => sum + server.answers, 0) }),
  }
}

function reconfigure(servers: readonly { name: string; server: WebServer }[], news: WebSlice): void {
  for (const { name, server } of servers) {
    const place = news.places.find((one) => one.name === name)
    if (place) server.reconfigure(news, place.secure)
  }
}
