/**
 * Sections for big providers that are in force without a word in the config: polite at the scale of one small server,
 * and no more than such a server needs. Written as config text, so that the manual can print it and anyone copy it.
 *
 * Providers do not publish exact limits for unknown senders; these are on the safe side of what their postmaster
 * pages and rejections say. Next: `servers.ts`, which puts them behind the config's own.
 */
import { fileBlock, sectionWords } from './file.ts'
import { readText } from './include.ts'
import { Problems } from './problem.ts'
import { type Config, sketch } from './schema.ts'
import { readSection } from './section.ts'

export const PROVIDERS = `\
server "google"    { match-mx "*.google.com" "*.googlemail.com"; max-connections 5; rate 120/m; };
server "microsoft" { match-mx "*.outlook.com" "*.mx.microsoft"; max-connections 5; rate 60/m; };
server "yahoo"     { match-mx "*.yahoodns.net"; max-connections 5; rate 60/m; transactions-per-connection 20; };
server "apple"     { match-mx "*.icloud.com" "*.apple.com"; max-connections 3; rate 60/m; };
server "gmx"       { match-mx "*.gmx.net" "*.web.de" "*.mail.com"; max-connections 3; rate 60/m; };
server "ionos"     { match-mx "*.kundenserver.de" "*.ionos.*" "*.perfora.net"; max-connections 3; rate 60/m; };
server "t-online"  { match-mx "*.t-online.de"; max-connections 3; rate 30/m; };
server "orange"    { match-mx "*.orange.fr" "*.wanadoo.fr"; max-connections 2; rate 20/m; };
server "free"      { match-mx "*.free.fr"; max-connections 2; rate 20/m; };
server "laposte"   { match-mx "*.laposte.net"; max-connections 2; rate 20/m; };
server "comcast"   { match-mx "*.comcast.net"; max-connections 3; rate 60/m; };
server "att"       { match-mx "*.prodigy.net"; max-connections 2; rate 30/m; };
server "mail.ru"   { match-mx "*.mail.ru"; max-connections 3; rate 30/m; };
server "yandex"    { match-mx "*.yandex.ru" "*.yandex.net"; max-connections 3; rate 30/m; };
server "tencent"   { match-mx "*.qq.com"; max-connections 2; rate 20/m; };
server "netease"   { match-mx "*.netease.com"; max-connections 2; rate 20/m; };

retry-class "rate-limited" {
    match-mx "*.google.com" "*.googlemail.com" "*.outlook.com" "*.mx.microsoft" "*.yahoodns.net" "*.icloud.com"
        "*.gmx.net" "*.web.de" "*.t-online.de" "*.orange.fr" "*.free.fr" "*.laposte.net" "*.mail.ru" "*.qq.com";
    codes { "421"; "4.7.x"; };
    text "too many connections" "too many concurrent" "rate limit" "throttl" "temporarily deferred" "server busy";
    suspend 10m;
};
`

let known: Pick<Config, 'server' | 'retry-class'> | null = null

export function providerSections(): Pick<Config, 'server' | 'retry-class'> {
  known ??= read()
  return known
}

/** A test reads the same text as a config of its own, and expects no problem. */
function read(): Config {
  const problems = new Problems()
  const source = { name: 'known providers', directory: '/', text: PROVIDERS }
  const { statements } = readText(source, sectionWords, problems)
  const at = { source, start: 0, end: 1 }
  return sketch(readSection(fileBlock, statements, '', at, problems))
}
