import type { Scenario } from '../scenario.ts';
import { bulkScenarios, crowdScenario, farScenarios } from './bulk.ts';
import {
  changeScenarios,
  floodScenarios,
  lateScenarios,
  manyScenarios,
  pauseScenarios,
  shortScenarios,
} from './mixed.ts';
import { mixtureScenarios } from './mixtures.ts';

/** The whole benchmark, in the order of the tables. */
export const allScenarios: readonly Scenario[] = [
  ...bulkScenarios,
  crowdScenario,
  ...farScenarios,
  ...floodScenarios,
  ...pauseScenarios,
  ...changeScenarios,
  ...lateScenarios,
  ...shortScenarios,
  ...mixtureScenarios,
  ...manyScenarios,
];
