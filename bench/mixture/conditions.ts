import type { MixtureScenario, Scenario } from '../scenario.ts';

type Condition = (scenario: MixtureScenario) => boolean;

/** Mixtures of some kind. */
const mixture = (condition: Condition) => (scenario: Scenario) => scenario.kind === 'mixture' && condition(scenario);

const shortLoad = ({ requests }: MixtureScenario) => requests.find(({ role }) => role === 'short');

/** Only long flows that slow down, whatever small there is beside them. */
const isCalm: Condition = ({ flows, flood, liar }) => flows > 0 && flood === undefined && liar === undefined;

/** Long flows beside new connections, so many each second. */
export const beside = (least: number, most: number) =>
  mixture((scenario) => {
    const load = shortLoad(scenario);
    const perSecond = load?.keep ? 0 : (load?.perSecond ?? 0);
    return isCalm(scenario) && perSecond >= least && perSecond <= most;
  });

/** Long flows beside connections that carry nothing. */
export const besideIdle = mixture((scenario) => scenario.requests.some(({ role }) => role === 'idle'));

/** Objects over connections of their own. */
export const transfers = mixture((scenario) => {
  const load = shortLoad(scenario);
  return load?.keep !== true && load?.perSecond === undefined && scenario.name.includes(' transfers ');
});

/** Clients that keep their connections and ask as soon as they can. */
export const keepAlive = mixture((scenario) => {
  const load = shortLoad(scenario);
  return load?.keep === true && load.perSecond === undefined;
});

/** Long flows that slow down, near, beside anything but a flood or a liar. Far away the path alone is most of a ping. */
export const calm = mixture((scenario) => isCalm(scenario) && scenario.path === 'near');

/** Datagrams that react to loss. */
export const offload = mixture((scenario) => scenario.offload === true);

/** A packet flood beside a long flow and new connections. */
export const packetFlood = mixture((scenario) => scenario.flood !== undefined);

/** A sender that does not slow down beside four that do. */
export const liar = mixture((scenario) => scenario.liar !== undefined);

/** Health checks beside more than the limit can carry. */
export const probe = mixture((scenario) => scenario.requests.some(({ role }) => role === 'probe'));
