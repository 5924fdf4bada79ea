import type { Scenario, TrafficScenario } from '../scenario.ts';

type Condition = (scenario: TrafficScenario) => boolean;
const always: Condition = () => true;

/** Traffic of some kind. */
export const traffic = (condition: Condition) => (scenario: Scenario) =>
  scenario.kind === 'traffic' && condition(scenario);

/** Long flows without any event. */
const isBulk: Condition = ({ flood, pauses, changes, attachAt }) =>
  !flood && !pauses && !changes && attachAt === undefined;

/** Long flows out of a limited pod, up to a hundred. */
export const egress = (condition: Condition = always) =>
  traffic((one) => isBulk(one) && one.direction === 'egress' && one.flows <= 100 && condition(one));

/** Long flows into a limited pod. */
export const ingress = (sender: TrafficScenario['sender']) =>
  traffic((one) => isBulk(one) && one.direction === 'ingress' && one.sender === sender);

/** A flood of datagrams. */
export const flood = (condition: Condition = always) => traffic((one) => one.flood !== undefined && condition(one));

/** A limited pod whose flows pause. */
export const pauses = traffic((one) => one.pauses !== undefined);

/** A limit that changes under traffic. */
export const change = traffic((one) => one.changes !== undefined);

/** A limit that is put on running flows. */
export const late = traffic((one) => one.attachAt !== undefined);

/** A connection of 8 KB for each request. */
export const short = (scenario: Scenario) =>
  scenario.kind === 'mixture' && scenario.name.startsWith('short connections ');

/** A number of pods at once. */
export const many = (pods: number) => (scenario: Scenario) => scenario.kind === 'many' && scenario.pods === pods;
