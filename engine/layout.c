/* SPDX-License-Identifier: Apache-2.0 */

/* Layouts.
 *
 * Units are placed one by one, in order of their names, and a unit may take the one machine that a
 * later one needs. What has to be together by MachineOf is a block and goes to one machine. The
 * search puts the block of the unit that found no room on a machine, lifts the blocks that are in
 * the way, and finds places for these in turn, the one with the fewest machines to choose from
 * first. Blocks that it has put somewhere stay there until it goes back on that choice. So it only
 * touches what is near the problem; and since a layout in which everything fits gives a right
 * choice at every step, going through all choices finds one if there is one.
 *
 * All choices are many. Units that may not share a machine at all are the usual case, and there a
 * machine need not be tried twice: a first search does not, and is quick; the second one is
 * thorough. Both end when their steps are used up.
 *
 * What runs is not moved: a unit whose row is in the store stays, and so does one that such a unit
 * follows, and one that its missing machine keeps (engine/brake.h). A unit that runs and is pushed
 * off by its replacer does not push back.
 *
 * Nothing of the view changes here but `ClusterUnit.block`, which is cleared again.
 */

#include "engine/layout.h"

#include <errno.h>

#include "engine/fit.h"

enum {
        BLOCKS_MAX = 128,      /* that are lifted at a time */
        BLOCK_UNITS_MAX = 256, /* of one block */
};

typedef struct LayoutBlock LayoutBlock;

/* Units that have to be together. */
struct LayoutBlock {
        ClusterUnit **units; /* owned; by name */
        size_t n_units;
        uint32_t *domain; /* owned: ranks of the machines that allow all of them */
        size_t n_domain;
        ClusterMachine *machine; /* where it is put; NULL while it is lifted */
};

/* A machine for a block, and how many units have to be lifted for it. */
typedef struct Option {
        ClusterMachine *machine;
        size_t n_rivals;
} Option;

typedef struct Layout {
        Candidates *candidates; /* borrowed */
        Cluster *cluster;       /* borrowed */
        LayoutBlock *blocks[BLOCKS_MAX];
        size_t n_blocks;
        size_t n_steps;      /* left */
        uint8_t *is_visited; /* owned: by rank; NULL in the thorough search */
} Layout;

/* What a unit is to the search */

/* The present machine that a unit for one machine is wanted on, or NULL. */
static ClusterRow *placed_row(const ClusterUnit *unit) {
        for (ListNode *node = list_first(&unit->rows); node; node = list_next(&unit->rows, node)) {
                ClusterRow *row = container_of(node, ClusterRow, unit_node);

                if (row->is_wanted && row->machine->is_present)
                        return row;
        }
        return NULL;
}

static bool runs(const ClusterUnit *unit) {
        for (ListNode *node = list_first(&unit->rows); node; node = list_next(&unit->rows, node))
                if (container_of(node, ClusterRow, unit_node)->is_stored)
                        return true;
        return false;
}

/* Is the unit wanted somewhere, but not yet stored there? */
static bool is_movable(const ClusterUnit *unit) {
        const ClusterRow *row;

        if (!fit_is_placeable(unit) || unit->requirements->global)
                return false;
        row = placed_row(unit);
        return row && !row->is_stored;
}

/* Does a machine that is missing keep the unit? */
static bool is_held(const ClusterUnit *unit) {
        for (ListNode *node = list_first(&unit->rows); node; node = list_next(&unit->rows, node)) {
                const ClusterRow *row = container_of(node, ClusterRow, unit_node);

                if (row->is_wanted && !row->machine->is_present && row->machine->is_held)
                        return true;
        }
        return false;
}

/* Blocks */

static LayoutBlock *block_free(LayoutBlock *block) {
        if (!block)
                return NULL;
        for (size_t i = 0; i < block->n_units; i++)
                block->units[i]->block = NULL;
        free(block->units);
        free(block->domain);
        free(block);
        return NULL;
}
DEFINE_CLEANUP(LayoutBlock, block_free)

/* Returns whether there was room. */
static bool block_add(LayoutBlock *block, ClusterUnit *unit) {
        if (block->n_units == BLOCK_UNITS_MAX)
                return false;
        unit->block = block;
        block->units[block->n_units++] = unit;
        return true;
}

/* Takes in whom the unit has to be with. Returns false when that cannot be. */
static bool block_add_peers(LayoutBlock *block, const ClusterUnit *unit) {
        for (ListNode *node = list_first(&unit->follows); node;
             node = list_next(&unit->follows, node)) {
                ClusterUnit *peer = container_of(node, ClusterFollow, follower_node)->peer;
                bool is_placed = placed_row(peer);

                if (peer->block == block)
                        continue;
                if (peer->block || !fit_is_placeable(peer))
                        return false;
                /* One that runs or is kept, and a global one, decide by where they are. */
                if (peer->requirements->global || (is_placed ? !is_movable(peer) : is_held(peer)))
                        continue;
                if (!block_add(block, peer))
                        return false;
        }
        return true;
}

/* Takes in who is there because of the unit. Returns false when one of them has to stay. */
static bool block_add_followers(LayoutBlock *block, const ClusterUnit *unit) {
        if (!placed_row(unit))
                return true;

        for (ListNode *node = list_first(&unit->followers); node;
             node = list_next(&unit->followers, node)) {
                ClusterUnit *follower = container_of(node, ClusterFollow, peer_node)->follower;

                if (follower->block == block || !placed_row(follower))
                        continue;
                if (follower->block || !is_movable(follower) || !block_add(block, follower))
                        return false;
        }
        return true;
}

static int compare_units(const void *a, const void *b) {
        const ClusterUnit *const *x = a, *const *y = b;

        return strcmp((*x)->name, (*y)->name);
}

static bool are_rivals(Layout *layout, const ClusterUnit *a, const ClusterUnit *b) {
        layout->cluster->n_looked++;
        return fit_keeps_off(layout->cluster, a, b) != MISFIT_NONE ||
               fit_keeps_off(layout->cluster, b, a) != MISFIT_NONE;
}

/* Gathers the block. Returns whether its units can be together anywhere. */
static bool block_gather(Layout *layout, LayoutBlock *block, ClusterUnit *unit) {
        (void)block_add(block, unit);
        for (size_t i = 0; i < block->n_units; i++)
                if (!block_add_peers(block, block->units[i]) ||
                    !block_add_followers(block, block->units[i]))
                        return false;

        qsort(block->units, block->n_units, sizeof(ClusterUnit *), compare_units);
        for (size_t i = 0; i < block->n_units; i++)
                for (size_t k = 0; k < i; k++)
                        if (are_rivals(layout, block->units[i], block->units[k]))
                                return false;
        return true;
}

static bool block_has_peers(const LayoutBlock *block, const ClusterMachine *machine) {
        for (size_t i = 0; i < block->n_units; i++) {
                const List *follows = &block->units[i]->follows;

                for (ListNode *node = list_first(follows); node; node = list_next(follows, node)) {
                        const ClusterUnit *peer =
                                container_of(node, ClusterFollow, follower_node)->peer;

                        if (peer->block != block && !fit_is_on(peer, machine))
                                return false;
                }
        }
        return true;
}

static bool block_is_allowed(const LayoutBlock *block, const ClusterMachine *machine) {
        for (size_t i = 0; i < block->n_units; i++)
                if (!fit_allows(block->units[i], machine))
                        return false;
        return block_has_peers(block, machine);
}

/* The unit of the block that leaves the fewest machines: one with MachineID, or with the smallest
 * pool. */
static int block_narrowest(Layout *layout, const LayoutBlock *block, const ClusterUnit **ret_unit) {
        const ClusterUnit *narrowest = block->units[0];
        size_t n_least = SIZE_MAX;

        for (size_t i = 0; i < block->n_units; i++) {
                const ClusterUnit *unit = block->units[i];
                CandidatesPool *pool;
                int r;

                if (unit->requirements->machine_id) {
                        *ret_unit = unit;
                        return 0;
                }
                r = candidates_pool(layout->candidates, unit, &pool);
                if (r < 0)
                        return r;
                if (pool->n_machines < n_least) {
                        narrowest = unit;
                        n_least = pool->n_machines;
                }
        }
        *ret_unit = narrowest;
        return 0;
}

static int block_find_domain(Layout *layout, LayoutBlock *block) {
        const ClusterUnit *narrowest = NULL;
        CandidatesPool *pool = NULL;
        size_t first = 0, n;
        int r;

        r = block_narrowest(layout, block, &narrowest);
        if (r < 0)
                return r;
        if (narrowest->requirements->machine_id)
                candidates_named(layout->candidates, narrowest->requirements->machine_id, &first,
                                 &n);
        else {
                r = candidates_pool(layout->candidates, narrowest, &pool);
                if (r < 0)
                        return r;
                n = pool->n_machines;
        }

        block->domain = malloc((n + 1) * sizeof(uint32_t));
        if (!block->domain)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                uint32_t rank = (uint32_t)(pool ? pool->heap[i] : first + i);

                if (block_is_allowed(block, layout->cluster->by_id[rank]))
                        block->domain[block->n_domain++] = rank;
        }
        return 0;
}

/* Lifts the unit and all that have to be with it. Returns 1, 0 when that cannot be, or -ENOMEM. */
static int layout_lift(Layout *layout, ClusterUnit *unit) {
        _cleanup_(block_freep) LayoutBlock *block = NULL;
        int r;

        if (layout->n_blocks == BLOCKS_MAX)
                return 0;

        block = calloc(1, sizeof(*block));
        if (!block)
                return -ENOMEM;
        block->units = malloc(BLOCK_UNITS_MAX * sizeof(ClusterUnit *));
        if (!block->units)
                return -ENOMEM;

        if (!block_gather(layout, block, unit))
                return 0;
        r = block_find_domain(layout, block);
        if (r < 0)
                return r;

        layout->blocks[layout->n_blocks++] = TAKE(block);
        return 1;
}

static void layout_put_back(Layout *layout, size_t n_blocks) {
        while (layout->n_blocks > n_blocks)
                block_free(layout->blocks[--layout->n_blocks]);
}

/* What is in the way */

/* Is the machine taken by a block that was put there? */
static bool is_taken(Layout *layout, const LayoutBlock *block, const ClusterMachine *machine) {
        for (size_t i = 0; i < layout->n_blocks; i++) {
                const LayoutBlock *other = layout->blocks[i];

                if (other == block || other->machine != machine)
                        continue;
                for (size_t a = 0; a < block->n_units; a++)
                        for (size_t b = 0; b < other->n_units; b++)
                                if (are_rivals(layout, block->units[a], other->units[b]))
                                        return true;
        }
        return false;
}

typedef enum Obstacle {
        OBSTACLE_NONE,
        OBSTACLE_LIFT, /* in the way, and can be lifted */
        OBSTACLE_STAY, /* in the way, and stays */
} Obstacle;

static Obstacle obstacle_between(Layout *layout, const ClusterUnit *unit,
                                 const ClusterUnit *other) {
        MisfitKind kind = fit_keeps_off(layout->cluster, other, unit);

        layout->cluster->n_looked++;
        if (kind == MISFIT_NONE) {
                /* It would be pushed off: find its place now, unless it runs. */
                return is_movable(other) && fit_keeps_off(layout->cluster, unit, other)
                               ? OBSTACLE_LIFT
                               : OBSTACLE_NONE;
        }
        if (!is_movable(other) || (kind == MISFIT_REPLACED && runs(unit)))
                return OBSTACLE_STAY;
        return OBSTACLE_LIFT;
}

/* The worst that the other unit is for one of the block. */
static Obstacle block_obstacle(Layout *layout, const LayoutBlock *block, const ClusterUnit *other) {
        Obstacle worst = OBSTACLE_NONE;

        if (other->block || !other->requirements)
                return OBSTACLE_NONE;
        for (size_t i = 0; i < block->n_units && worst != OBSTACLE_STAY; i++) {
                Obstacle obstacle = obstacle_between(layout, block->units[i], other);

                if (obstacle > worst)
                        worst = obstacle;
        }
        return worst;
}

/* Can the block be put on the machine once some units are lifted? Counts them. */
static bool block_fits(Layout *layout, const LayoutBlock *block, const ClusterMachine *machine,
                       size_t *ret_n_rivals) {
        size_t n_rivals = 0;

        if (is_taken(layout, block, machine))
                return false;

        for (ListNode *node = list_first(&machine->rows); node;
             node = list_next(&machine->rows, node)) {
                const ClusterRow *row = container_of(node, ClusterRow, machine_node);
                Obstacle obstacle = row->is_wanted ? block_obstacle(layout, block, row->unit)
                                                   : OBSTACLE_NONE;

                if (obstacle == OBSTACLE_STAY)
                        return false;
                n_rivals += obstacle == OBSTACLE_LIFT;
        }
        *ret_n_rivals = n_rivals;
        return true;
}

/* Lifts who is in the way of the block where it is put. Returns 1, 0 or -ENOMEM as layout_lift().
 */
static int layout_lift_rivals(Layout *layout, const LayoutBlock *block) {
        int r = 1;

        for (ListNode *node = list_first(&block->machine->rows); r > 0 && node;
             node = list_next(&block->machine->rows, node)) {
                const ClusterRow *row = container_of(node, ClusterRow, machine_node);

                if (row->is_wanted && block_obstacle(layout, block, row->unit) == OBSTACLE_LIFT)
                        r = layout_lift(layout, row->unit);
        }
        return r;
}

/* The search */

static int compare_options(const void *a, const void *b) {
        const Option *x = a, *y = b;

        if (x->n_rivals != y->n_rivals)
                return x->n_rivals < y->n_rivals ? -1 : 1;
        if (x->machine->n_wanted != y->machine->n_wanted)
                return x->machine->n_wanted < y->machine->n_wanted ? -1 : 1;
        return x->machine->rank < y->machine->rank ? -1 : x->machine->rank > y->machine->rank;
}

/* Where the block can be put, best first; an array that the caller frees. */
static int block_options(Layout *layout, const LayoutBlock *block, Option **ret_options,
                         size_t *ret_n) {
        Option *options = malloc((block->n_domain + 1) * sizeof(*options));
        size_t n = 0;

        if (!options)
                return -ENOMEM;

        for (size_t i = 0; i < block->n_domain && layout->n_steps > 0; i++) {
                ClusterMachine *machine = layout->cluster->by_id[block->domain[i]];

                if (layout->is_visited && layout->is_visited[machine->rank])
                        continue;
                layout->n_steps--;
                if (block_fits(layout, block, machine, &options[n].n_rivals))
                        options[n++].machine = machine;
        }
        qsort(options, n, sizeof(*options), compare_options);
        *ret_options = options;
        *ret_n = n;
        return 0;
}

/* The lifted block with the fewest machines; the first by name among equals. */
static LayoutBlock *layout_pick(const Layout *layout) {
        LayoutBlock *picked = NULL;

        for (size_t i = 0; i < layout->n_blocks; i++) {
                LayoutBlock *block = layout->blocks[i];

                if (!block->machine &&
                    (!picked || block->n_domain < picked->n_domain ||
                     (block->n_domain == picked->n_domain &&
                      strcmp(block->units[0]->name, picked->units[0]->name) < 0)))
                        picked = block;
        }
        return picked;
}

/* Puts every lifted block somewhere. Returns 1, 0 when there is no way, or -ENOMEM. At most
 * BLOCKS_MAX calls deep: each puts one more. */
static int layout_solve(Layout *layout) {
        _cleanup_(freep) Option *options = NULL;
        LayoutBlock *block = layout_pick(layout);
        size_t n, n_blocks = layout->n_blocks;
        int r;

        if (!block)
                return 1;

        r = block_options(layout, block, &options, &n);
        for (size_t i = 0; r == 0 && i < n && layout->n_steps > 0; i++) {
                if (layout->is_visited && layout->is_visited[options[i].machine->rank])
                        continue;
                if (layout->is_visited && options[i].n_rivals > 0)
                        layout->is_visited[options[i].machine->rank] = 1;
                block->machine = options[i].machine;
                r = layout_lift_rivals(layout, block);
                if (r > 0)
                        r = layout_solve(layout);
                if (r != 0)
                        break;
                layout_put_back(layout, n_blocks);
                block->machine = NULL;
        }
        return r;
}

static int layout_moves(const Layout *layout, LayoutMove **ret_moves, size_t *ret_n_moves) {
        LayoutMove *moves;
        size_t n = 0;

        for (size_t i = 0; i < layout->n_blocks; i++)
                n += layout->blocks[i]->n_units;
        moves = malloc((n + 1) * sizeof(*moves));
        if (!moves)
                return -ENOMEM;

        n = 0;
        for (size_t i = 0; i < layout->n_blocks; i++)
                for (size_t k = 0; k < layout->blocks[i]->n_units; k++)
                        moves[n++] = (LayoutMove){ layout->blocks[i]->units[k],
                                                   layout->blocks[i]->machine };
        *ret_moves = moves;
        *ret_n_moves = n;
        return 0;
}

/* One search. Returns 1 when it filled in the moves, 0, or -ENOMEM. */
static int layout_search(Layout *layout, ClusterUnit *unit, LayoutMove **ret_moves,
                         size_t *ret_n_moves) {
        int r = layout_lift(layout, unit);

        if (r > 0)
                r = layout_solve(layout);
        if (r > 0) {
                r = layout_moves(layout, ret_moves, ret_n_moves);
                r = r < 0 ? r : 1;
        }
        layout_put_back(layout, 0);
        return r;
}

int layout_find(Candidates *candidates, ClusterUnit *unit, size_t *io_steps, LayoutMove **ret_moves,
                size_t *ret_n_moves) {
        Cluster *cluster = candidates->cluster;
        size_t n_steps = *io_steps < LAYOUT_STEPS_MAX ? *io_steps : LAYOUT_STEPS_MAX;
        Layout layout = { .candidates = candidates, .cluster = cluster, .n_steps = n_steps / 2 };
        _cleanup_(freep) uint8_t *is_visited = NULL;
        int r;

        *ret_n_moves = 0;
        if (n_steps == 0)
                return 0;

        is_visited = calloc(cluster->n_present + 1, 1);
        if (!is_visited)
                return -ENOMEM;

        cluster_sort_machines(cluster);
        layout.is_visited = is_visited;
        r = layout_search(&layout, unit, ret_moves, ret_n_moves);

        layout.is_visited = NULL;
        layout.n_steps += n_steps - n_steps / 2;
        if (r == 0)
                r = layout_search(&layout, unit, ret_moves, ret_n_moves);
        *io_steps -= n_steps - layout.n_steps;
        return r < 0 ? r : 0;
}
