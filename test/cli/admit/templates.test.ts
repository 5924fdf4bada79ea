import { expect, test } from 'vitest';
import { askedAbout, kindOf, readTemplates } from '../../../cli/admit/templates.ts';

const rollout = {
  apiVersion: 'argoproj.io/v1alpha1',
  kind: 'Rollout',
  metadata: { name: 'web' },
  spec: { template: { metadata: { labels: { rate: '1M' } } } },
};

test('a kind that only the user knows is asked about as a Deployment with its template, in any version', () => {
  const templates = readTemplates(['argoproj.io/Rollout=spec.template', 'Widget=spec.pods.template']);
  expect(askedAbout(rollout, templates)).toEqual({
    resource: 'deployments',
    object: { metadata: { name: 'web' }, spec: { template: rollout.spec.template } },
  });
  const widget = { apiVersion: 'v1', kind: 'Widget', metadata: {}, spec: { pods: { template: { spec: {} } } } };
  expect(askedAbout(widget, templates)).toMatchObject({ object: { spec: { template: { spec: {} } } } });
  expect(askedAbout({ ...rollout, spec: null }, templates)).toMatchObject({ object: { spec: {} } });
});

test('a kind of another group, or without a place, is not asked about', () => {
  expect(askedAbout(rollout, readTemplates(['example.com/Rollout=spec.template']))).toBeUndefined();
  expect(askedAbout(rollout, readTemplates([]))).toBeUndefined();
  expect(kindOf(rollout)).toBe('argoproj.io/Rollout');
});

test.each(['Rollout', 'argoproj.io/Rollout=', 'a/b/C=spec', '=spec.template', 'Rollout=spec..template'])(
  '%s is refused with an example',
  (text) => {
    expect(() => readTemplates([text])).toThrow(`--template ${text}: write a group, a kind and a path, such as`);
  },
);
