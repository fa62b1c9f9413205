/**
 * cron, atd and sudo for one job, each in a mount namespace of its own, where /usr/sbin holds nothing but our sendmail,
 * /run/posthorn is the test's, and the machine's jobs are out of sight. They end with the test.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { TestContext } from 'node:test'
import type { Programs } from '../support/debian.ts'

interface Scene {
  /** Posthorn's run-directory. */
  run: string
  /** The test's own, empty. */
  folder: string
  command: string
}

/** A reason to skip; false where it works. */
export function whyNoNamespace(): string | false {
  if (process.getuid?.() !== 0) return 'needs root'
  if (!['/usr/local/bin/node', '/usr/bin/node', '/bin/node'].some(existsSync))
    return 'needs a node in /usr/bin'
  const tried = spawnSync('unshare', [
    '-m',
    '--propagation',
    'private',
    'mount',
    '-t',
    'tmpfs',
    'none',
    '/run',
  ])
  return tried.status === 0 ? false : 'mount namespaces are not to be had here'
}

export async function runCron(t: TestContext, scene: Scene & { cron: Programs; to: string }): Promise<void> {
  const { cron, folder, to, command } = scene
  writeFileSync(join(folder, 'crontab'), `MAILTO=${to}\n@reboot ${command}\n`, { mode: 0o600 })
  const script = `
    mkdir -p /var/spool/cron/crontabs
    install -m 600 ${folder}/crontab /var/spool/cron/crontabs/root
    exec ${cron.find('cron')} -f`
  await start(t, scene, cron, script)
}

export async function runAt(t: TestContext, scene: Scene & { at: Programs }): Promise<void> {
  const { at, command } = scene
  const script = `
    mkdir -p /var/spool/cron/atjobs /var/spool/cron/atspool
    touch /var/spool/cron/atjobs/.SEQ
    chown -R daemon:daemon /var/spool/cron/atjobs /var/spool/cron/atspool
    chmod 1770 /var/spool/cron/atjobs /var/spool/cron/atspool
    echo '${command}' | ${at.find('at')} -m now
    exec ${at.find('atd')} -f`
  await start(t, scene, at, script)
}

/**
 * sudo with rules of its own, called by `nobody` with a wrong password, which it mails about. /etc is a copy.
 * @returns a reason to skip, or ''.
 */
export async function runSudo(
  t: TestContext,
  scene: Scene & { sudo: Programs; to: string },
): Promise<string> {
  const { sudo, folder, to, command } = scene
  const program = sudo.find('sudo') ?? ''
  if ((statSync(program).mode & 0o4000) === 0) return 'sudo was unpacked without its set-uid bit'
  writeFileSync(
    join(folder, 'sudoers'),
    `Defaults mailto="${to}", mail_badpass, mailerpath=/usr/sbin/sendmail, !use_pty, passwd_tries=1
nobody ALL=(ALL) ALL
`,
  )
  const plugins = join(sudo.folder, 'usr/libexec/sudo')
  const own = existsSync(plugins)
    ? `Plugin sudoers_policy ${plugins}/sudoers.so\nPlugin sudoers_io ${plugins}/sudoers.so\n`
    : ''
  writeFileSync(join(folder, 'sudo.conf'), own)
  // a set-uid program takes no library path from its environment
  const cache = ['-X', '-C', join(folder, 'ld.so.cache'), ...(existsSync(plugins) ? [plugins] : [])]
  if (spawnSync('/usr/sbin/ldconfig', cache).status !== 0) return 'ldconfig cannot be run here'
  writeFileSync(join(folder, 'pam'), 'auth required pam_deny.so\naccount required pam_permit.so\n')
  const script = `
    cp -a /etc ${folder}/etc
    install -m 644 ${folder}/ld.so.cache ${folder}/etc/ld.so.cache
    mount --bind ${folder}/etc /etc
    mkdir -p /etc/pam.d
    install -m 440 ${folder}/sudoers /etc/sudoers
    install -m 644 ${folder}/sudo.conf /etc/sudo.conf
    install -m 644 ${folder}/pam /etc/pam.d/sudo
    echo wrong | exec setpriv --reuid=nobody --regid=nogroup --clear-groups ${program} -S ${command}`
  await start(t, scene, sudo, script)
  return ''
}

async function start(t: TestContext, scene: Scene, { env }: Programs, script: string): Promise<void> {
  const { run, folder } = scene
  mkdirSync(join(folder, 'sbin'))
  symlinkSync(resolve('bin/sendmail'), join(folder, 'sbin/sendmail'))
  const setUp = `
    mount -t tmpfs none /var/spool
    mount --bind ${folder}/sbin /usr/sbin
    for hidden in /etc/cron.d /etc/cron.hourly; do [ ! -d $hidden ] || mount -t tmpfs none $hidden; done
    [ ! -e /etc/crontab ] || mount --bind /dev/null /etc/crontab
    mount -t tmpfs none /run
    mkdir /run/posthorn
    mount --bind ${run} /run/posthorn`
  const argv = ['-m', '--propagation', 'private', '/bin/sh', '-ec', setUp + script]
  const child = spawn('unshare', argv, { env, stdio: ['ignore', 'ignore', 'inherit'] })
  t.after(() => end(child))
  await once(child, 'spawn')
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGKILL')
  await once(child, 'exit')
}
