/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* What a cgroup_skb program returns. */
#ifndef PODRATE_VERDICTS_H
#define PODRATE_VERDICTS_H

#define DROP_SILENTLY 0
#define PASS 1
/* Drop, and have TCP take it as congestion (Linux 5.3). UDP senders see success, as from a full queue downstream. */
#define DROP_CONGESTED 2

#endif
