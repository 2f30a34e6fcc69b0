// Asks the registries in the internet: where they redirect to, with which token, and what they said if it was no.
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
    const host = `${before[1]}://${before[2]}${before[3] || ''}`;
    const target = to.startsWith('//') ? `${before[1]}:${to}` : to.startsWith('/') ? host + to : to;
    const after = URL.exec(target);
    if (!after || (before[1].toLowerCase() == 'https' && after[1].toLowerCase() != 'https')) {
        return '';
    }
    return isOurs(r, after) ? '' : target;
}

function isOurs(r, parts) {
    return r.variables.our_names.split(' ').indexOf(parts[2].toLowerCase()) >= 0;
}

// RFC 9110, section 11.6.1. Only the schemes of the registry API: Bearer, and then where a token is to be had.
function challenge(r, header) {
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
    const realm = URL.exec(found.realm);
    return realm && !isOurs(r, realm) ? found : null;
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
        const wants = reply.status == 401 && hop > 0 && !asked && challenge(r, reply.headersOut['WWW-Authenticate']);
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
        const wants = ping.status == 401 && challenge(r, ping.headersOut['WWW-Authenticate']);
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

// Hand on what an upstream answered: to a caller here, and to nginx, which keeps to what it has at 403, 429 and 5xx.
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

export default {HOPS, answerIn, ask, bearer, challenge, follow, give, isAway, login, noteAway, refuseAs, token};
