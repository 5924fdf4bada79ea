/** The command `podrate`: arguments, dispatch, exit status. */
import { setTimeout as wait } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { parse, readShaperConfig, shaperFlags } from '../nodeagent/config.ts';
import { openNode } from '../nodeagent/open-node.ts';
import { uninstall } from '../nodeagent/uninstall.ts';
import { attach } from './commands/attach.ts';
import { detach } from './commands/detach.ts';
import { doctor, formatChecks } from './commands/doctor.ts';
import { formatList, list } from './commands/list.ts';
import { run } from './commands/run.ts';
import { set } from './commands/set.ts';
import { type Busy, formatFlows, readInterval, top } from './commands/top.ts';
import { CommandError } from './errors.ts';
import { asksForJson, exitStatus, formatFailure } from './failure.ts';
import { type Change, formatChange, reportChange } from './limit/change.ts';
import { allNamespaces } from './limit/mark.ts';
import { usage } from './usage.ts';

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`${formatFailure(error, asksForJson(process.argv.slice(2)))}\n`);
  process.exitCode = exitStatus(error);
}

async function main(args: readonly string[]): Promise<number> {
  const { values, positionals } = parse(() =>
    parseArgs({
      args: [...args],
      allowPositionals: true,
      allowNegative: true,
      options: {
        ...shaperFlags,
        cgroup: { type: 'string' },
        pid: { type: 'string' },
        container: { type: 'string' },
        rate: { type: 'string' },
        egress: { type: 'string' },
        ingress: { type: 'string' },
        burst: { type: 'string' },
        dscp: { type: 'string' },
        'ingress-queue': { type: 'boolean' },
        interval: { type: 'string' },
        file: { type: 'string', short: 'f' },
        'namespace-file': { type: 'string' },
        'label-key': { type: 'string' },
        default: { type: 'string' },
        max: { type: 'string' },
        'bandwidth-annotations': { type: 'boolean' },
        template: { type: 'string', multiple: true },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }),
  );
  if (values.help) {
    print(usage.trimEnd());
    return 0;
  }
  const [command, ...words] = positionals;
  const surplus = command === 'run' ? undefined : words[0];
  if (surplus !== undefined) throw new CommandError('cli/usage', `unexpected argument ${surplus}: see podrate --help`);
  const config = readShaperConfig(values, process.env);
  const asJson = (value: unknown) => JSON.stringify(value, null, 2);
  const tell = (change: Change) => {
    print(values.json ? asJson(reportChange(change)) : formatChange(change));
    return 0;
  };

  switch (command) {
    case 'run':
      return run(await openNode(config), values, words, wait);
    case 'attach':
      return tell(await attach(await openNode(config), values, wait));
    case 'set':
      return tell(await set(await openNode(config), values, wait));
    case 'detach':
      return tell(await detach(await openNode(config), values, wait));
    case 'list': {
      const node = await openNode(config);
      const listed = await list(node);
      print(values.json ? asJson(listed) : formatList(listed, node.shaper.hasOtherLayouts()));
      return 0;
    }
    case 'top': {
      const interval = readInterval(values.interval);
      const live = process.stdout.isTTY && !values.json;
      const show = (flows: readonly Busy[]) => {
        // Cursor to the upper left corner, and clear from there (ECMA-48 CUP, ED).
        print(values.json ? asJson(flows) : `${live ? '\x1b[H\x1b[J' : ''}${formatFlows(flows)}`);
        return live;
      };
      await top(await openNode(config), interval, show, wait, () => performance.now());
      return 0;
    }
    case 'admit': {
      // It alone needs the webhook's decisions and YAML.
      const { admit, formatAdmitted } = await import('./commands/admit.ts');
      const { PODRATE_LABEL_KEY, PODRATE_DEFAULT, PODRATE_MAX } = process.env;
      const installation = { 'label-key': PODRATE_LABEL_KEY, default: PODRATE_DEFAULT, max: PODRATE_MAX };
      const answers = await admit({ ...installation, ...values });
      const { stored, said } = formatAdmitted(answers);
      process.stdout.write(values.json ? `${asJson(answers)}\n` : stored);
      if (!values.json) for (const line of said) process.stderr.write(`${line}\n`);
      return answers.every(({ allowed }) => allowed) ? 0 : 4;
    }
    case 'doctor': {
      const checks = await doctor(config);
      print(values.json ? asJson(checks) : formatChecks(checks));
      return checks.some(({ result }) => result === 'failed') ? 3 : 0;
    }
    case 'uninstall': {
      const [failure] = await uninstall(await openNode(config), await allNamespaces(), wait);
      if (failure !== undefined) throw new CommandError('cli/failed', failure.message, { cause: failure });
      print(values.json ? asJson({ uninstalled: true }) : 'All limits are off this machine, and all pins are removed.');
      return 0;
    }
    case undefined:
      throw new CommandError('cli/usage', 'name a command: see podrate --help');
    default:
      throw new CommandError('cli/usage', `there is no command ${command}: see podrate --help`);
  }
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
