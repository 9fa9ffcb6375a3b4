// An OpenID provider for the tests: oidc-provider on 127.0.0.1, with rotation of refresh tokens
// and no grace. Options come as one JSON object in the first argument. When it listens it prints
// one JSON line that describes it; it ends when its standard input does, so that it never outlives
// whoever started it. A line on standard input is a command, answered by a line:
//   leave   stop listening, drop every connection, keep all grants
//   return  listen on the same port again
//   end     end every grant and session, as an administrator would

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import http from 'node:http';
import readline from 'node:readline';

// The provider's notices go to stderr: stdout is for our lines alone.
console.log = console.error;
console.info = console.error;

const { default: Provider } = await import('oidc-provider');
const { MapAdapter, accepted, endEverything } = await import('./adapter.mjs');

const options = {
  port: 0,
  access_token_ttl: 600, // s
  id_token_ttl: 600, // s
  refresh_token_ttl: 86400, // s
  device_code_ttl: 600, // s
  ...JSON.parse(process.argv[2] ?? '{}'),
};

const counters = {
  logins: 0, // authorization codes handed out
  token_requests: 0, // on arrival, whatever the answer
  code_exchanges: 0,
  refreshes: 0, // that succeeded
  replays: 0, // an already rotated refresh token was presented
  refusals: 0, // token requests answered with an error
  revocations: 0, // requests that named a token the provider still knew
  unknown_revocations: 0, // requests that named one it did not
  userinfo_requests: 0,
  discovery_requests: 0,
  key_requests: 0,
};

// What the person may present to the API below instead of an access token. Made anew each time.
const person = {
  email: 'ada@example.com',
  api_token: `str_${randomBytes(20).toString('hex')}`,
  global_key: randomBytes(20).toString('hex'),
};

function signingKey(type, settings, alg) {
  const jwk = generateKeyPairSync(type, settings).privateKey.export({ format: 'jwk' });
  return { ...jwk, alg, use: 'sig', kid: `${alg}-${randomBytes(6).toString('hex')}` };
}

function nativeClient(id, algorithm) {
  return {
    client_id: id,
    client_name: 'tool-agent',
    application_type: 'native',
    token_endpoint_auth_method: 'none',
    id_token_signed_response_alg: algorithm,
    // RFC 8252 section 7.3: for a loopback address the port is left out of the comparison.
    redirect_uris: ['http://127.0.0.1/callback', 'http://[::1]/callback', 'http://localhost/callback'],
    grant_types: [
      'authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code',
    ],
    response_types: ['code'],
  };
}

// A client as docs/tutorial.md has it: one redirect address, of which the port is compared too
// (`web`, since for a native client the provider leaves the port out).
const fixedPortClient = {
  client_id: 'stratus-cli',
  client_name: 'Stratus CLI',
  application_type: 'web',
  token_endpoint_auth_method: 'none',
  redirect_uris: ['http://localhost:8976/oauth/callback'],
  grant_types: ['authorization_code', 'refresh_token'],
  response_types: ['code'],
};

// The API of that tool: GET /api/user with an access token that has the scope, with the API token,
// or with the pair of email address and global key.
async function whoAsks(made, headers) {
  const bearer = /^Bearer (.+)$/.exec(headers.authorization ?? '')?.[1];
  if (bearer !== undefined) {
    if (bearer === person.api_token) return person.email;
    const token = await made.AccessToken.find(bearer);
    return token?.scopes.has('user:read') ? token.accountId : undefined;
  }
  const { 'x-auth-email': email, 'x-auth-key': key } = headers;
  return email === person.email && key === person.global_key ? email : undefined;
}

async function answerUser(made, ctx) {
  const id = await whoAsks(made, ctx.headers);
  ctx.status = id === undefined ? 401 : 200;
  ctx.body = id === undefined
    ? { success: false, errors: [{ code: 10000, message: 'Authentication error' }] }
    : { success: true, result: { id: `user-${id.split('@')[0]}`, email: id } };
}

// A resource indicator (RFC 8707) gets an access token of its own; `/jwt` at its end asks for one
// that is a JWT (RFC 9068), anything else is opaque.
function resourceServer(indicator) {
  const common = { scope: 'items:read items:write', audience: indicator };
  return indicator.endsWith('/jwt')
    ? { ...common, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } } }
    : { ...common, accessTokenFormat: 'opaque' };
}

function account(ctx, id) {
  const email = id.includes('@') ? id : `${id}@example.com`;
  return {
    accountId: id,
    claims: async () => ({ sub: id, email, email_verified: true, name: id.split('@')[0] }),
  };
}

function provider(issuer) {
  const made = new Provider(issuer, {
    adapter: MapAdapter,
    clients: [
      nativeClient('tool-agent', 'RS256'), nativeClient('tool-agent-es256', 'ES256'),
      fixedPortClient,
    ],
    jwks: {
      keys: [
        signingKey('rsa', { modulusLength: 2048 }, 'RS256'),
        signingKey('ec', { namedCurve: 'P-256' }, 'ES256'),
      ],
    },
    cookies: { keys: [randomBytes(32).toString('hex')] },
    findAccount: account,
    scopes: [
      'openid', 'offline_access', 'read', 'write', 'admin', 'billing', 'deploy',
      'user:read', 'workers:write',
    ],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
    pkce: { methods: ['S256'], required: () => true },
    rotateRefreshToken: true,
    clientBasedCORS: () => false,
    renderError: (ctx, out) => {
      ctx.type = 'text';
      ctx.body = `${out.error}: ${out.error_description ?? ''}\n`;
    },
    features: {
      devInteractions: { enabled: true },
      deviceFlow: { enabled: true },
      revocation: { enabled: true },
      introspection: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: (ctx, client, granted) => (granted ? granted[0] : undefined),
        // What was granted for a resource is for that resource, asked again or not.
        useGrantedResource: () => true,
        getResourceServerInfo: (ctx, indicator) => resourceServer(indicator),
      },
    },
    ttl: {
      AccessToken: () => options.access_token_ttl,
      IdToken: () => options.id_token_ttl,
      RefreshToken: () => options.refresh_token_ttl,
      DeviceCode: () => options.device_code_ttl,
      AuthorizationCode: 60,
      Grant: 14 * 86400,
      Interaction: 3600,
      Session: 14 * 86400,
    },
  });
  made.on('authorization.success', (ctx) => {
    if (ctx.oidc.entities.AuthorizationCode) counters.logins += 1;
  });
  made.on('grant.success', (ctx) => {
    const { grant_type: type } = ctx.oidc.params;
    if (type === 'refresh_token') counters.refreshes += 1;
    if (type === 'authorization_code') counters.code_exchanges += 1;
  });
  made.on('grant.error', (ctx, error) => {
    counters.refusals += 1;
    if (error.error_detail === 'refresh token already used') counters.replays += 1;
  });
  made.on('server_error', (ctx, error) => console.error(error));
  made.use(async (ctx, next) => {
    if (ctx.path === '/_/counters') {
      ctx.body = { ...counters, accepted_refresh_tokens: accepted('RefreshToken') };
      return;
    }
    if (ctx.path === '/api/user') {
      await answerUser(made, ctx);
      return;
    }
    if (ctx.path === '/token') counters.token_requests += 1;
    if (ctx.path === '/me') counters.userinfo_requests += 1;
    if (ctx.path === '/jwks') counters.key_requests += 1;
    if (ctx.path.startsWith('/.well-known/')) counters.discovery_requests += 1;
    await next();
    if (ctx.path === '/token/revocation' && ctx.status === 200) {
      const { RefreshToken, AccessToken } = ctx.oidc.entities;
      counters[RefreshToken || AccessToken ? 'revocations' : 'unknown_revocations'] += 1;
    }
  });
  return made;
}

const server = http.createServer();
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
const listen = (port) => new Promise((done, failed) => {
  server.once('error', failed);
  server.listen({ host: '127.0.0.1', port, backlog: 1024 }, () => {
    server.off('error', failed);
    done(server.address().port);
  });
});

const port = await listen(options.port);
const issuer = `http://127.0.0.1:${port}`;
server.on('request', provider(issuer).callback());

const commands = {
  leave: () => new Promise((done) => {
    server.close(done);
    server.closeAllConnections();
  }),
  return: () => listen(port),
  end: endEverything,
};
const lines = readline.createInterface({ input: process.stdin });
lines.on('line', async (line) => {
  try {
    await commands[line]();
    say({ done: line });
  } catch (error) {
    say({ failed: line, reason: String(error) });
  }
});
lines.on('close', () => process.exit(0));

say({
  issuer,
  client_id: 'tool-agent',
  es256_client_id: 'tool-agent-es256',
  redirect_path: '/callback',
  scopes: ['openid', 'offline_access', 'email', 'profile', 'read', 'write', 'admin', 'billing', 'deploy'],
  counters: `${issuer}/_/counters`,
  person,
});
