import { expect, test } from 'vitest';
import { readDevices, readFilters, readPlaces } from '../../../nodeagent/dscp/tc-output.ts';

// As iproute2 6.1 prints them, shortened.
const addresses = `[{"ifindex":1,"ifname":"lo","flags":["LOOPBACK","UP","LOWER_UP"],"link_type":"loopback",
  "addr_info":[{"family":"inet","local":"127.0.0.1","prefixlen":8,"scope":"host","label":"lo"}]},
 {"ifindex":2,"link_index":7,"ifname":"eth0","flags":["BROADCAST","MULTICAST","UP","LOWER_UP"],"link_type":"ether",
  "addr_info":[{"family":"inet","local":"10.244.0.7","prefixlen":24,"scope":"global","label":"eth0"},{},
   {"family":"inet6","local":"fd01::7","prefixlen":64,"scope":"global"},
   {"family":"inet6","local":"fe80::2066:a7ff:fe76:9773","prefixlen":64,"scope":"link","tentative":true}]},
 {"ifindex":3,"ifname":"tun0","flags":["POINTOPOINT","MULTICAST","NOARP"],"link_type":"none"}]`;
const queues = `[{"kind":"noqueue","handle":"0:","dev":"eth0","root":true,"refcnt":2,"options":{}},
 {"kind":"clsact","handle":"ffff:","dev":"eth0","parent":"ffff:fff1","options":{}}]`;
const filters = `[{"protocol":"all","pref":46,"kind":"bpf","chain":0},
 {"protocol":"all","pref":46,"kind":"bpf","chain":0,"options":{"handle":"0x1","flowid":"e55e:3ae","bpf_name":"program:[*fsobj]",
  "direct-action":true,"not_in_hw":true,"prog":{"id":1536,"name":"podrate_dscp","tag":"493a18fde67681e8","jited":1}}},
 {"protocol":"all","pref":49152,"kind":"u32","chain":0,"options":{"fh":"800::800","flowid":"1:1"}},
 {"protocol":"all","pref":49151,"kind":"bpf","chain":0,"options":{"handle":"0x1","prog":{"id":7,"name":"others"}}}]`;

test('devices are read with what tells how to mark them, and whose they are', () => {
  expect(readDevices(addresses)).toEqual([
    { name: 'eth0', isUp: true, linkHeader: 14, addresses: ['10.244.0.7', 'fd01::7'] },
    { name: 'tun0', isUp: false, linkHeader: 0, addresses: [] },
  ]);
});

test('places for filters and our own filters are told from those of others', () => {
  expect([...readPlaces(queues)]).toEqual(['eth0']);
  expect(readFilters(filters, 'eth0')).toEqual({
    count: 4,
    marks: [{ device: 'eth0', handle: 1, classId: 'e55e:3ae' }],
  });
});

test('nothing at all is an empty list, and anything else is an error', () => {
  expect([readDevices(''), [...readPlaces('')], readFilters('\n', 'eth0').count]).toEqual([[], [], 0]);
  for (const text of ['Error', '{}', '[{"ifname":1}]', 'null']) expect(() => readDevices(text)).toThrow();
});
