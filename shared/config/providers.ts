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
// As of November 2026.
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

retry-class "blocked" {
    match-mx "*.google.com" "*.googlemail.com" "*.outlook.com" "*.mx.microsoft" "*.yahoodns.net" "*.icloud.com"
        "*.gmx.net" "*.web.de" "*.mail.com" "*.kundenserver.de" "*.t-online.de" "*.orange.fr" "*.wanadoo.fr" "*.free.fr"
        "*.laposte.net" "*.comcast.net" "*.prodigy.net" "*.mail.ru" "*.yandex.ru" "*.yandex.net" "*.qq.com" "*.netease.com";
    codes { "42x"; "45x"; "55x"; };
    text "block list" "blocklist" "blacklist" "block-list" "spamhaus" "banned sending ip" "(s3140)" "(s3150)" "tss09" "tss11"
        "bad reputation" "poor reputation" "low reputation" "bl000";
    suspend 2h; hint "the provider refuses this server's address: the reply mostly names a page to have it taken off; rule provider … else relay … of routing sends round it";
};
retry-class "rate-limited" {
    match-mx "*.google.com" "*.googlemail.com" "*.outlook.com" "*.mx.microsoft" "*.yahoodns.net" "*.icloud.com"
        "*.gmx.net" "*.web.de" "*.mail.com" "*.kundenserver.de" "*.t-online.de" "*.orange.fr" "*.wanadoo.fr" "*.free.fr"
        "*.laposte.net" "*.comcast.net" "*.prodigy.net" "*.mail.ru" "*.yandex.ru" "*.yandex.net" "*.qq.com" "*.netease.com";
    codes { "421"; "4.7.x"; };
    text "too many connections" "too many concurrent" "rate limit" "throttl" "temporarily deferred" "server busy";
    suspend 10m; hint "the provider takes no more for now: a server section of its name with a smaller rate is kinder";
};
retry-class "greylisted"   { codes { "45x"; "42x"; }; text "greylist" "graylist" "grey-list" "grey list"; retry 6m 12m 30m 1h 4h; };
retry-class "mailbox-full" { codes { "4.2.2"; }; retry 1h 2h 4h 8h; };
retry-class "policy"       { codes { "4.7.x"; }; text "dmarc" "spf" "dkim" "reverse dns" "ptr record" "not authenticated"; retry 30m 1h 4h; };
retry-class "content"      { codes { "4.7.x"; "4.6.x"; }; text "spam" "virus" "unsolicited" "content"; retry 1h 4h 8h; };
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
