/** Names for containers that were given none: an adjective and something seen from a ship. */
import { randomInt } from "node:crypto";

const adjectives =
  "able agile amber ample azure bold brave breezy bright brisk calm candid careful cheerful clear clever cosy crisp curious daring deft eager early easy fair fast fearless festive fine fleet fond frank free fresh friendly gentle glad golden good grand happy hardy hearty honest hopeful humble jolly jovial keen kind lively loyal lucid lucky mellow merry mighty mild modest neat nimble noble patient placid plucky polite proud quick quiet rapid ready robust rosy serene sharp silent silver simple sleek smart snug sober spry steady stout sunny swift tender tidy trusty upbeat vivid warm wise witty zesty".split(
    " ",
  );
const things =
  "albatross anchor anemone archipelago atoll barnacle bay beacon binnacle bollard boom bow bowline breaker breakwater buoy cable cape capstan cay cleat coast compass coral cormorant crest current cutter davit deck dolphin dory dune estuary fathom ferry fjord flag foam fog gale galley gannet grotto gull gust halyard harbour harpoon hawser headland heron hull inlet island jetty jib keel kelp kittiwake knot lagoon lantern latitude leadline lighthouse lobster longitude mainsail mast mooring narwhal oar octopus otter oyster paddle pelican petrel pier pilot plank porpoise port puffin quay reef rigging rudder sail salmon sandbar schooner seal sextant shore skiff sloop sound spar spray squall starboard strait surf swell tide tiller trawler trident turtle urchin wake walrus wave whale wharf wind yawl".split(
    " ",
  );

/** A free name such as `calm_lighthouse`. `isTaken` is asked for each that is tried. */
export function generateName(isTaken: (name: string) => boolean): string {
  for (let attempt = 0; ; attempt++) {
    const name = `${adjectives[randomInt(adjectives.length)]}_${things[randomInt(things.length)]}`;
    const candidate = attempt < 6 ? name : `${name}${randomInt(10 ** Math.min(attempt - 5, 9))}`;
    if (!isTaken(candidate)) return candidate;
  }
}
