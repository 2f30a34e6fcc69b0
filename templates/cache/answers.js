// Errors in the JSON form of the registry API (distribution-spec, "Error Codes").

const CODES = {404: 'NOT_FOUND', 405: 'UNSUPPORTED', 429: 'TOOMANYREQUESTS', 503: 'UNAVAILABLE'};

function refuse(r, status, message) {
    r.headersOut['Content-Type'] = 'application/json';
    r.headersOut['Docker-Distribution-Api-Version'] = 'registry/2.0';
    if (status == 429 || status == 503) {
        r.headersOut['Retry-After'] = '5';
    }
    r.return(status, JSON.stringify({errors: [{code: CODES[status], message: message}]}));
}

// What an upstream did if it did not answer, or not as a registry does. nginx itself says 502 if nobody listens there.
const GARBAGE = 0;
const SILENCE = [502, 504];

// Whose answer it was, and to what. Clients get the three statuses at which they go on to the upstream themselves.
function refuseAs(r, answer, ns, name, reference) {
    const what = name + (reference.indexOf(':') < 0 ? ':' : '@') + reference;
    const silent = SILENCE.indexOf(answer) >= 0;
    const said = answer == GARBAGE ? 'sends something else' : silent ? 'does not answer' : `answers ${answer}`;
    const status = answer == 429 ? 429 : answer == 401 || answer == 403 || answer == 404 ? 404 : 503;
    refuse(r, status, `${ns} ${said} for ${what}`);
}

export default {GARBAGE, SILENCE, refuse, refuseAs};
