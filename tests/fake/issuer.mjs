// issuer.mjs - a real OAuth2 issuer (npm's oidc-provider) for tests/system/91-oauth2.
//
//     node issuer.mjs MODULES <<< {"port", "certificate", "key" (files), "secret",
//                                  "rsa", "ec" (public keys, PEM text), "life"}
//
// prints one line {"url"} and ends with its standard input. Clients: "post" and
// "basic" have the secret, "rsa" and "ec" a key each, "cloud" may only introspect.
// Tokens are opaque, and JWTs for the resource urn:dicom.
import { createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import https from 'node:https';
import readline from 'node:readline';
import { pathToFileURL } from 'node:url';

const require = createRequire(process.argv[2] + '/node_modules/');
const { Provider } = await import(
	pathToFileURL(require.resolve('oidc-provider')).href);
const input = readline.createInterface({ input: process.stdin });
const told = JSON.parse((await input[Symbol.asyncIterator]().next()).value);
const url = `https://localhost:${told.port}`;

const client = (id, more) => ({
	client_id: id, grant_types: ['client_credentials'], redirect_uris: [],
	response_types: [], scope: 'dicom.write', ...more,
});
const keyed = (id, pem, alg) => client(id, {
	token_endpoint_auth_method: 'private_key_jwt',
	token_endpoint_auth_signing_alg: alg,
	jwks: { keys: [{ ...createPublicKey(pem).export({ format: 'jwk' }),
		kid: id, use: 'sig' }] },
});

const provider = new Provider(url, {
	clients: [
		client('post', { client_secret: told.secret,
			token_endpoint_auth_method: 'client_secret_post' }),
		client('basic', { client_secret: told.secret,
			token_endpoint_auth_method: 'client_secret_basic' }),
		keyed('rsa', told.rsa, 'RS256'),
		keyed('pss', told.rsa, 'PS256'),
		keyed('ec', told.ec, 'ES256'),
		client('cloud', { client_secret: told.secret + '-cloud',
			token_endpoint_auth_method: 'client_secret_basic' }),
	],
	scopes: ['dicom.write', 'dicom.delete'],
	ttl: { ClientCredentials: told.life },
	clientAuthMethods: ['client_secret_basic', 'client_secret_post',
		'private_key_jwt'],
	features: {
		devInteractions: { enabled: false },
		clientCredentials: { enabled: true },
		introspection: { enabled: true,
			allowedPolicy: async (ctx, c) => c.clientId === 'cloud' },
		resourceIndicators: {
			enabled: true,
			defaultResource: () => undefined,
			getResourceServerInfo: async () => ({
				scope: 'dicom.write', audience: 'urn:dicom',
				accessTokenTTL: told.life, accessTokenFormat: 'jwt',
				jwt: { sign: { alg: 'RS256' } },
			}),
		},
	},
});
provider.on('grant.error', (ctx, error) => console.error(
	`${error.error}: ${error.error_description}: ${error.error_detail}`));

https.createServer({ cert: readFileSync(told.certificate),
	key: readFileSync(told.key) }, provider.callback()).listen(
	told.port, '127.0.0.1', () => console.log(JSON.stringify({ url })));
input.on('close', () => process.exit(0));
