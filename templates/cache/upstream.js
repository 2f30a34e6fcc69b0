// Asks the registries in the internet. What they send is checked before anyone gets it or it is kept.
import crypto from 'crypto';
import fs from 'fs';
import answers from 'answers.js';

const MANIFESTS = 'application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, ' +
    'application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json';
const URL = /^(https?):\/\/([a-z0-9.-]+)(:[0-9]+)?([\/?][!-~]*)?$/i;
const REDIRECTS = {301: 1, 302: 1, 303: 1, 307: 1, 308: 1};
const HOPS = 4;
const AWAY_SECONDS = 10;

// Whether an upstream has just not answered: then nobody waits for it again for a while.
function isAway(ns) {
    try {
        return Date.now() - fs.statSync(`/tmp/away-${ns}`).mtimeMs < AWAY_SECONDS * 1000;
    } catch (e) {
        return false;
    }
}

function noteAway(ns) {
    try {
        fs.writeFileSync(`/tmp/away-${ns}`, '');
    } catch (e) {
        // Then the next one waits too.
    }
}

// Where a redirect leads; '' if that must not be followed.
function follow(r, from, location) {
    const before = URL.exec(from);
    const to = String(location || '');
    const target = to.startsWith('//') ? `${before[1]}:${to}` : to.startsWith('/') ? `${before[1]}://${before[2]}${before[3] || ''}${to}` : to;
    const after = URL.exec(target);
    if (!after || (before[1].toLowerCase() == 'https' && after[1].toLowerCase() != 'https')) {
        return '';
    }
    return r.variables.our_names.split(' ').indexOf(after[2].toLowerCase()) < 0 ? target : '';
}

// RFC 9110, section 11.6.1. Only the schemes of the registry API: Bearer, and then where a token is to be had.
function challenge(header) {
    const found = {};
    const text = String(header || '');
    if (!/^bearer\s/i.test(text)) {
        return null;
    }
    const pairs = /([a-z]+)="([^"]*)"/gi;
    let pair;
    while ((pair = pairs.exec(text)) !== null) {
        found[pair[1].toLowerCase()] = pair[2];
    }
    return URL.test(found.realm) ? found : null;
}

function tokenUrl(realm, service, scope) {
    let url = realm;
    if (service) {
        url += `${url.indexOf('?') < 0 ? '?' : '&'}service=${encodeURIComponent(service)}`;
    }
    return `${url}${url.indexOf('?') < 0 ? '?' : '&'}scope=${encodeURIComponent(scope)}`;
}

function tokenIn(reply) {
    try {
        const told = JSON.parse(reply.responseText);
        const token = told.token || told.access_token;
        return /^[!-~]+$/.test(token) ? token : '';
    } catch (e) {
        return '';
    }
}

// Ask for a URL and where that leads to. A login goes to the first host alone; another one may ask for its own token.
async function ask(r, method, url, authorization, soon) {
    const v = r.variables;
    let target = url, own = authorization, asked = false, reply;
    for (let hop = 0; hop < HOPS; hop++) {
        v.target = target;
        v.authorization = own;
        v.accept = MANIFESTS;
        reply = await r.subrequest(soon ? '/_ask_soon' : '/_ask', {method: method});
        if (REDIRECTS[reply.status]) {
            target = follow(r, target, reply.headersOut.Location);
            own = '';
            if (!target) {
                break;
            }
            continue;
        }
        const wants = reply.status == 401 && hop > 0 && !asked && challenge(reply.headersOut['WWW-Authenticate']);
        if (!wants) {
            return reply;
        }
        asked = true;
        own = await bearer(r, wants, `repository:${v.name}:pull`);
    }
    return {status: answers.GARBAGE, headersOut: {}};
}

async function bearer(r, wants, scope) {
    r.variables.target = tokenUrl(wants.realm, wants.service, wants.scope || scope);
    r.variables.authorization = '';
    const reply = await r.subrequest('/_ask', {method: 'GET'});
    const token = tokenIn(reply);
    return token ? `Bearer ${token}` : '';
}

// GET /token/WHO/NS/NAME: a token for one repository, for anyone or for our account. '' where none is needed.
async function token(r) {
    const v = r.variables;
    let url = v.tokens, service = '';
    if (!url) {
        const ping = await ask(r, 'GET', `${v.registry}/v2/`, '', true);
        if (ping.status == 200) {
            return r.return(200, '{"token":""}');
        }
        const wants = ping.status == 401 && challenge(ping.headersOut['WWW-Authenticate']);
        if (!wants) {
            return give(r, ping.status == 401 ? 403 : ping.status < 400 ? answers.GARBAGE : ping.status);
        }
        url = wants.realm;
        service = wants.service;
    }
    if (v.registry.startsWith('https:') && !url.startsWith('https:')) {
        return give(r, answers.GARBAGE);
    }
    v.target = tokenUrl(url, service, `repository:${v.name}:pull`);
    v.authorization = v.who == 'account' ? fs.readFileSync(v.login).toString().trim() : '';
    const reply = await r.subrequest('/_ask_soon', {method: 'GET'});
    if (reply.status != 200) {
        return give(r, reply.status);
    }
    const found = tokenIn(reply);
    if (!found) {
        return give(r, answers.GARBAGE);
    }
    r.return(200, JSON.stringify({token: found}));
}

// Hand on what an upstream answered, to a caller within this file or to nginx, which goes by the status.
function give(r, answer) {
    r.headersOut['Upstream-Answer'] = String(answer);
    r.return(answer == 401 ? 403 : [403, 404, 429, 504].indexOf(answer) >= 0 ? answer : 503);
}

// The Authorization header of a pull; throws the status of the upstream that gives none.
async function login(r, who) {
    const v = r.variables;
    const reply = await r.subrequest(`/_token/${who}/${v.ns}/${v.name}`);
    if (reply.status != 200) {
        throw {answer: Number(reply.headersOut['Upstream-Answer'] || reply.status)};
    }
    const found = JSON.parse(reply.responseText).token;
    return found ? `Bearer ${found}` : '';
}

// What was thrown: an upstream's answer, or what its garbage led to.
function answerIn(e) {
    return e.answer === undefined ? answers.GARBAGE : e.answer;
}

function refuseAs(r, answer) {
    const v = r.variables;
    if (answers.SILENCE.indexOf(answer) >= 0) {
        noteAway(v.ns);
    }
    answers.refuseAs(r, answer, v.ns, v.name, v.reference);
}

// HEAD /tag/PATIENCE/NS/NAME/TAG. The statuses are those at which nginx goes on with what it has, or does not.
async function tag(r) {
    const v = r.variables;
    const soon = v.patience == 'soon';
    let answer;
    if (soon && isAway(v.ns)) {
        r.headersOut['Upstream-Answer'] = '504';
        return r.return(503);
    }
    try {
        const anyone = await login(r, 'anyone');
        const reply = await ask(r, 'HEAD', `${v.registry}/v2/${v.name}/manifests/${v.reference}`, anyone, soon);
        const digest = reply.headersOut['Docker-Content-Digest'];
        if (reply.status == 200 && /^sha256:[0-9a-f]{64}$/.test(digest)) {
            r.headersOut['Docker-Content-Digest'] = digest;
            r.headersOut['Content-Type'] = reply.headersOut['Content-Type'];
            r.headersOut['Manifest-Length'] = reply.headersOut['Content-Length'];
            return r.return(200);
        }
        answer = reply.status == 200 ? answers.GARBAGE : reply.status;
    } catch (e) {
        answer = answerIn(e);
    }
    if (answers.SILENCE.indexOf(answer) >= 0) {
        noteAway(v.ns);
    }
    give(r, answer);
}

// GET /manifest/NS/NAME/DIGEST. An account lifts the limit, never the audience: who has no login must be able to read it.
async function manifest(r) {
    const v = r.variables;
    const url = `${v.registry}/v2/${v.name}/manifests/${v.reference}`;
    let reply;
    try {
        const anyone = await login(r, 'anyone');
        if (v.login) {
            const head = await ask(r, 'HEAD', url, anyone, false);
            if (head.status != 200) {
                return refuseAs(r, head.status);
            }
            reply = await asAccount(r, url);
        }
        if (!reply || reply.status != 200) {
            reply = await ask(r, 'GET', url, anyone, false);
        }
    } catch (e) {
        return refuseAs(r, answerIn(e));
    }
    if (reply.status != 200) {
        return refuseAs(r, reply.status);
    }
    const body = reply.responseBuffer;
    if (`sha256:${crypto.createHash('sha256').update(body).digest('hex')}` != v.reference) {
        return refuseAs(r, answers.GARBAGE);
    }
    r.headersOut['Content-Type'] = reply.headersOut['Content-Type'];
    r.headersOut['Docker-Content-Digest'] = v.reference;
    r.headersOut['ETag'] = `"${v.reference}"`;
    r.return(200, body);
}

async function asAccount(r, url) {
    try {
        const account = await login(r, 'account');
        return await ask(r, 'GET', url, account, false);
    } catch (e) {
        r.error(`the account at ${r.variables.ns} is not accepted`);
        return null;
    }
}

// GET /blob/NS/NAME/DIGEST, of which one piece is asked for. It is passed on while it arrives.
async function blob(r) {
    const v = r.variables;
    try {
        v.authorization = await login(r, 'anyone');
    } catch (e) {
        return refuseAs(r, answerIn(e));
    }
    v.target = `${v.registry}/v2/${v.name}/blobs/${v.reference}`;
    v.accept = '*/*';
    v.hops = '0';
    r.internalRedirect('@blob');
}

function redirected(r) {
    const v = r.variables;
    const target = follow(r, v.target, v.upstream_http_location);
    v.hops = String(Number(v.hops) + 1);
    if (!target || Number(v.hops) >= HOPS) {
        return refuseAs(r, answers.GARBAGE);
    }
    v.target = target;
    v.authorization = '';
    r.internalRedirect('@blob');
}

async function challenged(r) {
    const v = r.variables;
    const wants = v.hops != '0' && !v.authorization && challenge(v.upstream_http_www_authenticate);
    if (!wants) {
        return refuseAs(r, 401);
    }
    const target = v.target;
    const found = await bearer(r, wants, `repository:${v.name}:pull`);
    if (!found) {
        return refuseAs(r, 401);
    }
    v.target = target;
    v.authorization = found;
    r.internalRedirect('@blob');
}

function refused(r) {
    const v = r.variables;
    const statuses = /([0-9]+)$/.exec(v.upstream_status);  // of each host that was asked
    answers.refuseAs(r, statuses ? Number(statuses[1]) : 504, v.ns, v.name, v.reference);
}

const KEPT = {'content-length': 1, 'content-range': 1, 'content-type': 1};

// Of an upstream's headers only those of the content. The name of the content, not what a server calls it, says whether two
// pieces belong together (ngx_http_slice_filter_module, ETag).
function onlyContent(r) {
    for (let name in r.headersOut) {
        if (!KEPT[name.toLowerCase()]) {
            delete r.headersOut[name];
        }
    }
    r.headersOut['ETag'] = `"${r.variables.reference}"`;
    r.headersOut['Docker-Content-Digest'] = r.variables.reference;
}

export default {blob, challenged, manifest, onlyContent, redirected, refused, tag, token};
