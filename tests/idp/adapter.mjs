// Where the provider keeps its grants: a map in memory. oidc-provider's own one forgets what it
// has not used lately beyond 1,000 entries, which a test with many clients would mistake for a
// refusal; and it cannot be asked how many refresh tokens it would still accept.

const entries = new Map();
const byGrant = new Map();
const byUserCode = new Map();
const byUid = new Map();
const grantable = new Set(['AccessToken', 'AuthorizationCode', 'RefreshToken', 'DeviceCode']);

const now = () => Date.now() / 1000;

function alive(key) {
  const entry = entries.get(key);
  if (entry === undefined) return undefined;
  if (entry.until > now()) return entry;
  entries.delete(key);
  return undefined;
}

export class MapAdapter {
  constructor(model) {
    this.model = model;
  }

  key(id) {
    return `${this.model}:${id}`;
  }

  async upsert(id, payload, expiresIn) {
    const key = this.key(id);
    entries.set(key, { payload, until: expiresIn ? now() + expiresIn : Infinity });
    if (this.model === 'Session') byUid.set(payload.uid, id);
    if (payload.userCode) byUserCode.set(payload.userCode, id);
    if (grantable.has(this.model) && payload.grantId) {
      if (!byGrant.has(payload.grantId)) byGrant.set(payload.grantId, new Set());
      byGrant.get(payload.grantId).add(key);
    }
  }

  async find(id) {
    return alive(this.key(id))?.payload;
  }

  async findByUid(uid) {
    return this.find(byUid.get(uid));
  }

  async findByUserCode(userCode) {
    return this.find(byUserCode.get(userCode));
  }

  async consume(id) {
    const entry = alive(this.key(id));
    if (entry) entry.payload.consumed = Math.floor(now());
  }

  async destroy(id) {
    entries.delete(this.key(id));
  }

  async revokeByGrantId(grantId) {
    for (const key of byGrant.get(grantId) ?? []) entries.delete(key);
    byGrant.delete(grantId);
  }
}

// How many entries of a kind would still be accepted.
export function accepted(model) {
  let count = 0;
  for (const key of entries.keys()) {
    if (key.startsWith(`${model}:`) && alive(key) && !entries.get(key).payload.consumed) count += 1;
  }
  return count;
}

// What an administrator does who signs everyone out: every grant and all that came of it.
export function endEverything() {
  entries.clear();
  byGrant.clear();
  byUserCode.clear();
  byUid.clear();
}
